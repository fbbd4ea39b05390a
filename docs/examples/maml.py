"""Learns weights from which one gradient step fits a new sine (MAML, Finn et al. 2017), second order included.

python docs/examples/maml.py --backend jax
"""

from __future__ import annotations

import argparse

import numpy as np

import unified as un
from unified import optim

INNER_RATE = 0.05


def predict(x, weights):
    first, first_bias, second, second_bias = weights
    return un.tanh(x @ first + first_bias) @ second + second_bias


def loss_of(weights, x, y):
    return ((predict(x, weights) - y) ** 2).mean()


def adapt(weights, x, y):
    """One step on the task's own points; ``create_graph`` lets the outer loss see through it."""
    gradients = un.autograd.grad(loss_of(weights, x, y), weights, create_graph=True)
    return [weight - INNER_RATE * gradient for weight, gradient in zip(weights, gradients, strict=True)]


def experiment() -> list[float]:
    """The loss after adaptation, averaged over four tasks, at each of eight outer steps."""
    rng = np.random.default_rng(0)
    shapes = ((1, 32), (32,), (32, 1), (1,))
    weights = [un.tensor(rng.normal(0, 0.5, shape).astype("float32")).requires_grad_() for shape in shapes]
    optimizer = optim.SGD(weights, lr=0.02)
    figures = []
    for _ in range(8):
        optimizer.zero_grad()
        total = 0.0
        for _ in range(4):
            amplitude, phase = rng.uniform(0.5, 2), rng.uniform(0, np.pi)
            points = rng.uniform(-3, 3, (20, 1)).astype("float32")
            x, y = un.tensor(points), un.tensor((amplitude * np.sin(points + phase)).astype("float32"))
            total = total + loss_of(adapt(weights, x[:10], y[:10]), x[10:], y[10:]) / 4
        total.backward()
        optimizer.step()
        figures.append(total.item())
    return figures


def run(backend: str) -> list[float]:
    with un.backend(backend):
        return experiment()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="torch")
    print(*run(parser.parse_args().backend))

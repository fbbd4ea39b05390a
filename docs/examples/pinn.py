"""A network learns a soliton from physics: the residual of Korteweg-de Vries, u_t + 6 u u_x + u_xxx = 0.

python docs/examples/pinn.py --backend jax
"""

from __future__ import annotations

import argparse

import numpy as np

import unified as un
from unified import optim


def network(x, t, weights):
    from_x, from_t, bias, out = weights
    return un.tanh(x * from_x + t * from_t + bias) @ out


def derivative(u, x):
    return un.autograd.grad(u.sum(), x, create_graph=True)[0]


def residual(x, t, weights):
    u = network(x, t, weights)
    u_x = derivative(u, x)
    return derivative(u, t) + 6 * u * u_x + derivative(derivative(u_x, x), x)


def experiment() -> list[float]:
    """The loss at each of ten steps: the residual inside, and the distance from the soliton at t = 0."""
    rng = np.random.default_rng(0)
    shapes = ((1, 24), (1, 24), (24,), (24, 1))
    weights = [un.tensor(rng.normal(0, 0.3, shape).astype("float32")).requires_grad_() for shape in shapes]
    inside = rng.uniform((-4, 0), (4, 1), (64, 2)).astype("float32")
    x, t = (un.tensor(inside[:, i : i + 1]).requires_grad_() for i in (0, 1))
    points = np.linspace(-4, 4, 32, dtype="float32")[:, None]
    start, zero = un.tensor(points), un.zeros(32, 1)
    soliton = un.tensor((0.5 / np.cosh(points / 2) ** 2).astype("float32"))  # of speed 1
    optimizer = optim.SGD(weights, lr=1e-4)
    figures = []
    for _ in range(10):
        optimizer.zero_grad()
        physics = (residual(x, t, weights) ** 2).mean()
        loss = physics + ((network(start, zero, weights) - soliton) ** 2).mean()
        loss.backward()
        optimizer.step()
        figures.append(loss.item())
    return figures


def run(backend: str) -> list[float]:
    with un.backend(backend):
        return experiment()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="torch")
    print(*run(parser.parse_args().backend))

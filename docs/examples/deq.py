"""A layer that is a fixed point, z = tanh(z W + x U) (Bai et al. 2019), reads digits. Nothing of the solve is kept:
the gradient comes from the adjoint fixed point, u = cotangent + u df/dz.

python docs/examples/deq.py --backend jax
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.datasets import load_digits

import unified as un
import unified.nn.functional as F
from unified import optim

SOLVE_STEPS = 30


def cell(state, injected, weight):
    return un.tanh(state @ weight + injected)


class FixedPoint(un.autograd.Function):
    @staticmethod
    def forward(ctx, injected, weight):
        state = un.zeros_like(injected)
        for _ in range(SOLVE_STEPS):  # nothing records in here
            state = cell(state, injected, weight)
        ctx.save_for_backward(state, injected, weight)
        return state

    @staticmethod
    def backward(ctx, cotangent):
        state, injected, weight = (saved.detach().requires_grad_() for saved in ctx.saved_tensors)
        with un.enable_grad():
            again = cell(state, injected, weight)
        adjoint = cotangent
        for _ in range(SOLVE_STEPS):
            adjoint = cotangent + un.autograd.grad(again, state, adjoint, retain_graph=True)[0]
        return un.autograd.grad(again, (injected, weight), adjoint)


def experiment() -> list[float]:
    """The loss at each of eight steps of gradient descent."""
    rng = np.random.default_rng(0)
    images, labels = load_digits(return_X_y=True)
    x, y = un.tensor(images[:128].astype("float32") / 16), un.tensor(labels[:128])
    scales = {(64, 48): 0.125, (48, 48): 0.05, (48, 10): 0.15}
    weights = [un.tensor(rng.normal(0, s, shape).astype("float32")).requires_grad_() for shape, s in scales.items()]
    enter, weight, leave = weights
    optimizer = optim.SGD(weights, lr=0.5)
    figures = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = F.cross_entropy(FixedPoint.apply(x @ enter, weight) @ leave, y)
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

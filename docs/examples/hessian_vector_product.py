"""The sharpest direction of a loss, without its Hessian: power iteration on Hessian-vector products.

python docs/examples/hessian_vector_product.py --backend jax
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.datasets import load_breast_cancer

import unified as un
import unified.nn.functional as F


def data() -> tuple[np.ndarray, np.ndarray]:
    features, labels = load_breast_cancer(return_X_y=True)
    features = (features - features.mean(0)) / features.std(0)
    return features.astype("float32"), labels.astype("float32")


def experiment() -> list[float]:
    """The loss at w = 0 and five estimates of the Hessian's largest eigenvalue there."""
    features, labels = (un.tensor(array) for array in data())
    weights = un.zeros(features.shape[1]).requires_grad_()
    loss = F.binary_cross_entropy_with_logits(features @ weights, labels)
    (gradient,) = un.autograd.grad(loss, weights, create_graph=True)
    direction = un.ones(features.shape[1])
    figures = [loss.item()]
    for _ in range(5):
        direction = direction / (direction * direction).sum().sqrt()
        (product,) = un.autograd.grad((gradient * direction).sum(), weights, retain_graph=True)
        figures.append((direction * product).sum().item())  # Rayleigh quotient
        direction = product
    return figures


def run(backend: str) -> list[float]:
    with un.backend(backend):
        return experiment()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="torch")
    print(*run(parser.parse_args().backend))

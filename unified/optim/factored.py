"""Optimisers that look at a parameter as a matrix: Adafactor and Muon."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from unified._dispatch import composite
from unified._dtype import bfloat16, float32
from unified._tensor import Tensor
from unified.errors import ShapeError
from unified.ops.elementwise import minimum
from unified.optim._options import decay_rate, require
from unified.optim._update import Update
from unified.optim.optimizer import Optimizer, Params


class Adafactor(Optimizer):
    """Adaptive steps from the row and column means of squared gradients, so that the state is small.

    Shazeer and Stern, ICML 2018 (https://arxiv.org/abs/1804.04235), in PyTorch's variant.

    Args:
        params: real Tensors, or dicts with ``params`` and options; those below 2 dimensions are not factored.
        lr: the largest relative step: that of step ``t`` is ``min(lr, 1 / sqrt(t))``.
        beta2_decay: the weight of the newest square is ``t ** beta2_decay``.
        eps: smallest root mean square of an update's denominator (None for the dtype's epsilon), and of a parameter.
        d: largest root mean square of an update.
        weight_decay: ``param -= lr * weight_decay * param``.
        foreach: accepted, see :class:`Optimizer`.
        maximize: climbs instead.

    Raises:
        ArgumentError: an option has a value that makes no sense, or a parameter is complex.
    """

    takes_complex = False

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-2, beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0, weight_decay: float = 0.0, *,
        foreach: bool | None = None, maximize: bool = False,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _validate(self, options: Mapping[str, Any]) -> None:
        first, second = options["eps"]
        require(options["beta2_decay"] <= 0.0, self, "beta2_decay must not be positive", options["beta2_decay"])
        require((first is None or first >= 0.0) and second >= 0.0, self, "eps must not be negative", options["eps"])
        require(options["d"] >= 1.0, self, "d must be 1 or more", options["d"])

    def _numbers(self, options: Mapping[str, Any]) -> dict[str, float]:
        first, second = options["eps"]
        numbers = {"beta2_decay": float(options["beta2_decay"]), "d": float(options["d"]), "eps2": float(second)}
        return numbers if first is None else {**numbers, "eps1": float(first)}

    def _decay(self, options: Mapping[str, Any]) -> str | None:
        return None  # after the parameter's own size was taken

    def _kind(self, param: Tensor) -> Hashable:
        return "factored" if param.ndim > 1 else "whole"

    def _moments(self, options: Mapping[str, Any], kind: Hashable = None) -> tuple[str, ...]:
        return ("row_var", "col_var") if kind == "factored" else ("variance",)

    def _initial(self, name: str, param: Tensor, options: Mapping[str, Any]) -> Tensor:
        if name == "variance":
            return super()._initial(name, param, options)
        dim = -1 if name == "row_var" else -2
        zeros: Tensor = param.detach().zeros_like().sum(dim, keepdim=True)
        return zeros

    @staticmethod
    def _update(update: Update) -> None:
        count, param, grad = update["step"], update.param, update.grad
        newest = count ** update["beta2_decay"]
        relative = minimum(update["lr"], 1.0 / count.sqrt())
        size = param.each(lambda p: _root_mean_square(p).clamp(min=update["eps2"]) * relative)
        if update.decays:
            param = param * (1.0 - update["lr"] * update["weight_decay"])
        if "variance" in update:
            estimate = update["variance"] = update["variance"].toward(grad * grad, newest)
        else:
            for name, dim in (("row_var", -1), ("col_var", -2)):
                means = grad.each(lambda g, dim=dim: (g * g).mean(dim, keepdim=True))
                update[name] = update[name].toward(means, newest)
            mean = update["row_var"].each(lambda row: row.mean(-2, keepdim=True).clamp(min=_smallest(update, row)))
            estimate = update["row_var"] * update["col_var"] / mean
        step = estimate.each(lambda e, g: e.clamp(min=_smallest(update, e) ** 2).rsqrt() * g, grad)
        excess = step.each(lambda s: (_root_mean_square(s) / update["d"]).clamp(min=1.0))
        update.param = param - step * (size / excess)


def _root_mean_square(x: Tensor) -> Tensor:
    root: Tensor = (x * x).mean().sqrt()
    return root


def _smallest(update: Update, like: Tensor) -> Any:
    if "eps1" in update:
        return update["eps1"]
    return float(np.spacing(like.dtype.numpy.type(1.0)))


class Muon(Optimizer):
    """Momentum whose matrix is orthogonalised by Newton-Schulz steps.

    Jordan, 2024 (https://kellerjordan.github.io/posts/muon). As in PyTorch and in the author's code, the iteration is
    computed in bfloat16. For the 2-dimensional weights of hidden layers; train biases, embeddings and the last layer
    with :class:`AdamW`.

    Args:
        params: 2-dimensional Tensors, or dicts with ``params`` and options.
        lr: learning rate.
        weight_decay: ``param -= lr * weight_decay * param``.
        momentum: decay of the gradients' running mean.
        nesterov: looks ahead.
        ns_coefficients: of the quintic ``a x + b x^3 + c x^5``; fixed in a compiled step.
        eps: smallest norm to divide by.
        ns_steps: how many iterations, below 100.
        adjust_lr_fn: how the rate depends on the shape: ``"original"`` or None for ``sqrt(max(1, rows / columns))``,
            ``"match_rms_adamw"`` for ``0.2 sqrt(max(rows, columns))``.

    Raises:
        ShapeError: a parameter is not a matrix.
        ArgumentError: an option has a value that makes no sense, or a parameter is complex.
    """

    takes_complex = False
    not_negative = ("lr", "weight_decay", "momentum")

    def __init__(
        self, params: Params, lr: float | Tensor = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95,
        nesterov: bool = True, ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7, ns_steps: int = 5, adjust_lr_fn: str | None = None,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn,
        }  # fmt: skip
        super().__init__(params, defaults)

    def _validate(self, options: Mapping[str, Any]) -> None:
        known = (None, "original", "match_rms_adamw")
        require(
            options["adjust_lr_fn"] in known, self, f"adjust_lr_fn must be one of {known}", options["adjust_lr_fn"]
        )
        coefficients = options["ns_coefficients"]
        require(len(coefficients) == 3, self, "ns_coefficients must be three numbers", coefficients)
        require(options["ns_steps"] < 100, self, "ns_steps must be below 100", options["ns_steps"])

    def _check_params(self, params: list[Any], differentiable: bool) -> None:
        super()._check_params(params, differentiable)
        for param in params:
            if param.ndim != 2:
                raise ShapeError(f"Muon takes matrices only, and a parameter has shape {tuple(param.shape)}")

    def _numbers(self, options: Mapping[str, Any]) -> dict[str, float]:
        return decay_rate("momentum", options["momentum"])

    def _flags(self, options: Mapping[str, Any]) -> dict[str, Hashable]:
        a, b, c = (float(coefficient) for coefficient in options["ns_coefficients"])
        return {
            "nesterov": bool(options["nesterov"]), "coefficients": (a, b, c), "eps": float(options["eps"]),
            "steps": int(options["ns_steps"]), "adjust": options["adjust_lr_fn"],
        }  # fmt: skip

    def _decay(self, options: Mapping[str, Any]) -> str | None:
        return "decoupled"

    def _moments(self, options: Mapping[str, Any], kind: Hashable = None) -> tuple[str, ...]:
        return ("momentum_buffer",)

    def _scalars(self, options: Mapping[str, Any]) -> dict[str, float]:
        return {}

    @staticmethod
    def _update(update: Update) -> None:
        grad = update.grad
        direction = update["momentum_buffer"] = update["momentum_buffer"].toward(grad, update["1-momentum"])
        if update["nesterov"]:
            direction = grad.toward(direction, update["momentum"])

        def move(matrix: Tensor) -> Tensor:
            rows, columns = matrix.shape
            if update["adjust"] == "match_rms_adamw":
                ratio = 0.2 * math.sqrt(max(rows, columns))
            else:
                ratio = math.sqrt(max(1.0, rows / columns))
            ortho = orthogonalized(matrix, update["coefficients"], update["steps"], update["eps"])
            step: Tensor = ortho.to(matrix.dtype) * (update["lr"] * ratio)
            return step

        update.param = update.param - direction.each(move)


@composite
def orthogonalized(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Nearly ``U V^T`` of ``matrix (rows, columns) = U S V^T``, by quintic Newton-Schulz steps in bfloat16."""
    a, b, c = coefficients
    rows, columns = matrix.shape
    x = _rounded(matrix.T if rows > columns else matrix)
    x = _rounded(x / _rounded(x.norm()).clamp(min=eps))
    for _ in range(steps):
        gram = _rounded(x @ x.T)
        x = _rounded(x * a + _rounded(gram * b + (gram @ gram) * c) @ x)
    return x.T if rows > columns else x


def _rounded(x: Tensor) -> Tensor:
    """To bfloat16 and back: what a kernel with a float32 accumulator rounds to, on every framework."""
    return x.to(bfloat16).to(float32)

"""Central differences of a function of Tensors: the oracle of ``gradcheck``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from unified._tensor import Tensor
from unified.errors import GradcheckError, OperandError

Array = np.ndarray[Any, Any]
Func = Callable[..., Any]
Numerical = list[list[tuple[Array, ...]]]
"""By input and output the differences along the real and, for a complex input, the imaginary axis."""

SEED = 2147483647
"""Of projections and drawn cotangents: a check says the same twice."""


def tupled(value: Any) -> tuple[Any, ...]:
    """Several values as a tuple, one as a tuple of one."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def requires_grad(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def host(tensor: Tensor) -> Array:
    """The values of a Tensor, flat, in 64 bits."""
    values = tensor.detach().numpy()
    return np.asarray(values).astype(np.complex128 if tensor.is_complex() else np.float64).reshape(-1)


def outputs_of(func: Func, args: Sequence[Any]) -> tuple[Tensor, ...]:
    """What ``func`` returns, as a tuple.

    Raises:
        OperandError: there is something else than a Tensor in it.
    """
    found = tupled(func(*args))
    for position, output in enumerate(found):
        if not isinstance(output, Tensor):
            raise OperandError(
                f"gradcheck: func must return a Tensor or a tuple of them; its output {position} is "
                f"{type(output).__name__}"
            )
    return found


class Differences:
    """Of ``func`` at ``inputs``, along those that require grad."""

    def __init__(self, func: Func, inputs: Any, eps: float) -> None:
        self.func = func
        self.inputs = tupled(inputs)
        self.eps = eps
        self.wanted = {i: value for i, value in enumerate(self.inputs) if requires_grad(value)}
        """The inputs that are moved, by position."""
        self.directions: list[list[Array]] = []
        """Of each such input a random direction of each of its axes, once ``projected`` has been called."""
        self.weights: list[Array] = []
        """Of each output random weights."""

    def outputs(self) -> tuple[Tensor, ...]:
        """The function's results where the inputs are."""
        return outputs_of(self.func, self.inputs)

    def complete(self) -> Numerical:
        """Jacobians of shape (elements of the input, elements of the output)."""
        specs = _specs(self.outputs())
        found = []
        for tensor in self.wanted.values():
            units = np.eye(tensor.numel())
            along = (units, 1j * units) if tensor.is_complex() else (units,)
            axes = [self._along(tensor, list(steps), specs) for steps in along]
            columns = []
            for place, (shape, _) in enumerate(specs):
                size = (tensor.numel(), int(np.prod(shape)))
                columns.append(tuple(np.array([row[place] for row in rows]).reshape(size) for rows in axes))
            found.append(columns)
        return found

    def projected(self) -> Numerical:
        """The change of each output along one random direction of each axis, which it draws with the weights."""
        specs = _specs(self.outputs())
        generator = np.random.default_rng(SEED)
        tensors = self.wanted.values()
        self.directions = [[_direction(generator, t.numel()) for _ in range(1 + t.is_complex())] for t in tensors]
        self.weights = [_direction(generator, int(np.prod(shape))) for shape, _ in specs]
        found = []
        for tensor, directions in zip(tensors, self.directions, strict=True):
            steps = [direction * unit for direction, unit in zip(directions, (1, 1j), strict=False)]
            axes = self._along(tensor, steps, specs)
            found.append([tuple(row[place] for row in axes) for place in range(len(specs))])
        return found

    def _along(self, tensor: Tensor, steps: Sequence[Array], specs: list[Any]) -> list[list[Array]]:
        """For each step along the input the difference quotient of each output."""
        found = []
        with _moved(tensor) as move:
            for step in steps:
                move(self.eps * step)
                ahead = self._values(specs)
                move(-self.eps * step)
                behind = self._values(specs)
                found.append([(b - a) / (2 * self.eps) for a, b in zip(behind, ahead, strict=True)])
        return found

    def _values(self, specs: list[Any]) -> list[Array]:
        outputs = self.outputs()
        if _specs(outputs) != specs:
            raise GradcheckError(
                "gradcheck: func must return the same shapes and dtypes when an input moves by eps; they were "
                f"{[(shape, dtype.name) for shape, dtype in specs]} and became "
                f"{[(shape, dtype.name) for shape, dtype in _specs(outputs)]}"
            )
        return [host(output) if output.dtype.is_inexact else np.zeros(output.numel()) for output in outputs]


def _specs(outputs: Sequence[Tensor]) -> list[Any]:
    return [(tuple(output.shape), output.dtype) for output in outputs]


@contextlib.contextmanager
def _moved(tensor: Tensor) -> Iterator[Callable[[Array], None]]:
    """Moves a Tensor by flat steps from where it is, to which it returns in the end."""
    start = tensor.detach()
    values = host(tensor)

    def move(step: Array) -> None:
        tensor.data = start.new_tensor((values + step).reshape(start.shape))

    try:
        yield move
    finally:
        tensor.data = start


def _direction(generator: np.random.Generator, length: int) -> Array:
    """A random unit vector without negative elements, so that errors of one sign do not cancel."""
    drawn = generator.random(length)
    scale = np.linalg.norm(drawn)
    return drawn / scale if scale else drawn

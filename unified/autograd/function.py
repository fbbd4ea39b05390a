"""``autograd.Function``: an operation whose derivative its author writes, the same class on every backend."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, cast

from unified._custom import RuleCall
from unified._dispatch import tracing
from unified._engine import engine_of
from unified._recording import recording
from unified._tape import grad_mode
from unified._tensor import Tensor
from unified.errors import AutogradError, BackendMismatchError, FunctionTransformError, OperandError

Backward = Callable[..., Any]


class FunctionCtx:
    """What ``forward`` or ``setup_context`` leaves for ``backward``. Any attribute may be set on it."""

    needs_input_grad: tuple[bool, ...] = ()
    """For each argument of ``forward`` whether its gradient is wanted."""

    def __init__(self) -> None:
        self._to_save: tuple[Tensor | None, ...] = ()
        self._saved: Sequence[Tensor] | None = None
        self._non_differentiable: tuple[Tensor, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps inputs and outputs of ``forward`` for ``backward``, which finds them in ``saved_tensors``.

        Raises:
            OperandError: one is neither a Tensor nor None; such values are kept as attributes of ``ctx``.
        """
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                raise OperandError(
                    f"save_for_backward takes Tensors and None, not {type(tensor).__name__}; set it as an attribute "
                    "of ctx"
                )
        self._to_save = tensors

    save_for_forward = save_for_backward

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What ``save_for_backward`` kept."""
        iterator = iter(self._saved if self._saved is not None else [t for t in self._to_save if t is not None])
        return tuple(None if tensor is None else next(iterator) for tensor in self._to_save)

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Outputs that have no gradient."""
        self._non_differentiable = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Inputs that ``forward`` changed in place and returns: the Tensor that was given changes too."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether ``backward`` gets zeros (the default) or None for an output that nothing was computed from."""
        self._materialize = value


class _Rule:
    """One application of a Function. Satisfies ``_custom.Rule``."""

    def __init__(self, function: type[Function], args: tuple[Any, ...]) -> None:
        self.name = function.__name__
        self.ctx = FunctionCtx()
        self.layout: list[bool] = []
        """Of each result of forward whether it is a Tensor."""
        self.constants: list[Any] = []
        self.single = True
        self.dirty: list[int | None] = []
        """Of each output the position of the argument that it is, changed in place."""
        self._function = function
        self._places = [i for i, arg in enumerate(args) if isinstance(arg, Tensor)]
        self._others = [None if isinstance(arg, Tensor) else arg for arg in args]
        self._inputs = [(tuple(args[i].shape), args[i].dtype) for i in self._places]
        self._outputs: list[tuple[tuple[int, ...], Any]] = []
        self.ctx.needs_input_grad = tuple(isinstance(arg, Tensor) and arg.requires_grad for arg in args)

    def forward(self, inputs: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[bool]]:
        args = list(self._others)
        for place, tensor in zip(self._places, inputs, strict=True):
            args[place] = tensor
        function, ctx = self._function, self.ctx
        if function.setup_context is not Function.setup_context:
            result = function.forward(*args)
            function.setup_context(ctx, tuple(args), result)
        else:
            result = function.forward(ctx, *args)
        self.single = not isinstance(result, tuple)
        results = [result] if self.single else list(result)
        outputs = [value for value in results if isinstance(value, Tensor)]
        if not outputs:
            raise OperandError(
                f"{self.name}.forward must return a Tensor or a tuple with Tensors in it, not {result!r}"
            )
        self.layout = [isinstance(value, Tensor) for value in results]
        self.constants = [value for value in results if not isinstance(value, Tensor)]
        self._outputs = [(tuple(output.shape), output.dtype) for output in outputs]
        marked = {id(tensor) for tensor in ctx._non_differentiable}
        carries = [output.dtype.is_inexact and id(output) not in marked for output in outputs]
        changed = {id(tensor) for tensor in ctx._dirty}
        self.dirty = [
            next((i for i, arg in enumerate(args) if arg is output and id(arg) in changed), None)
            for output in outputs
        ]
        saved = [tensor for tensor in ctx._to_save if tensor is not None]
        ctx._to_save = tuple(None if tensor is None else _KEPT for tensor in ctx._to_save)
        ctx._non_differentiable = ctx._dirty = ()
        return outputs, saved, carries

    def results(self, outputs: Sequence[Tensor]) -> Any:
        """What ``apply`` returns: the outputs where forward returned Tensors."""
        tensors, others = iter(outputs), iter(self.constants)
        results = tuple(next(tensors) if is_tensor else next(others) for is_tensor in self.layout)
        return results[0] if self.single else results

    def backward(
        self, saved: Sequence[Tensor], cotangents: list[Tensor | None], wanted: Sequence[bool]
    ) -> list[Tensor | None]:
        ctx = self.ctx
        needs = dict(zip(self._places, wanted, strict=True))
        ctx.needs_input_grad = tuple(needs.get(i, False) for i in range(len(self._others)))
        if ctx._materialize:
            like = next(c for c in cotangents if c is not None)
            cotangents = [
                like.new_zeros(shape, dtype=dtype if dtype.is_inexact else like.dtype) if c is None else c
                for c, (shape, dtype) in zip(cotangents, self._outputs, strict=True)
            ]
        ctx._saved = saved
        try:
            tensors = iter(cotangents)
            found = self._function.backward(ctx, *[next(tensors) if is_tensor else None for is_tensor in self.layout])
        finally:
            ctx._saved = None
        return self._gradients(found)

    def jvp(self, saved: Sequence[Tensor], tangents: Sequence[Tensor | None]) -> list[Tensor | None]:
        if self._function.jvp is Function.jvp:
            raise FunctionTransformError(
                f"{self.name} has no forward derivative; define its static method jvp(ctx, *tangents)"
            )
        ctx, given = self.ctx, dict(zip(self._places, tangents, strict=True))
        ctx._saved = saved
        try:
            found = self._function.jvp(ctx, *[given.get(i) for i in range(len(self._others))])
        finally:
            ctx._saved = None
        listed = list(found) if isinstance(found, tuple) else [found]
        if len(listed) != len(self.layout):
            raise AutogradError(f"{self.name}.jvp returned {len(listed)} tangents for {len(self.layout)} results")
        return [tangent for tangent, is_tensor in zip(listed, self.layout, strict=True) if is_tensor]

    def _gradients(self, found: Any) -> list[Tensor | None]:
        given = list(found) if isinstance(found, (tuple, list)) else [found]
        count = len(self._others)
        if len(given) < count or any(extra is not None for extra in given[count:]):
            raise AutogradError(
                f"{self.name}.backward returned {len(given)} gradients for the {count} arguments of forward; return "
                "one for each, None where there is none"
            )
        specs = dict(zip(self._places, self._inputs, strict=True))
        gradients: list[Tensor | None] = []
        for position, gradient in enumerate(given[:count]):
            if position not in specs:
                if gradient is not None:
                    raise AutogradError(
                        f"{self.name}.backward returned a gradient for argument {position} of forward, which is no "
                        "Tensor; return None there"
                    )
                continue
            gradients.append(None if gradient is None else self._fitted(gradient, position, *specs[position]))
        return gradients

    def _fitted(self, gradient: Any, position: int, shape: tuple[int, ...], dtype: Any) -> Tensor | None:
        if not isinstance(gradient, Tensor):
            raise OperandError(
                f"{self.name}.backward returned a {type(gradient).__name__} for argument {position} of forward; "
                "return a Tensor or None"
            )
        if not dtype.is_inexact:
            return None
        if tuple(gradient.shape) != shape:
            if not _reduces(tuple(gradient.shape), shape):
                raise AutogradError(
                    f"{self.name}.backward returned a gradient of shape {tuple(gradient.shape)} for argument "
                    f"{position} of forward, whose shape is {shape}"
                )
            gradient = gradient.sum_to_size(shape)
        fitted: Tensor = gradient.to(dtype)
        return fitted


_KEPT = cast(Tensor, object())
"""In the place of a saved Tensor, which the engine keeps."""


def _reduces(larger: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether ``shape`` broadcasts to ``larger``."""
    padded = (1,) * (len(larger) - len(shape)) + shape
    return len(shape) <= len(larger) and all(n in (1, m) for n, m in zip(padded, larger, strict=True))


class Function:
    """Base class of operations that bring their own derivative.

    Write ``forward`` and ``backward`` as static methods and call ``apply``. Either ``forward(ctx, *args)`` keeps what
    backward needs, or ``forward(*args)`` computes and ``setup_context(ctx, inputs, output)`` keeps. Derivatives of
    higher order follow from ``backward``, which is recorded where the backward pass is.

    Example::

        class Cube(un.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x ** 3

            @staticmethod
            def backward(ctx, grad):
                (x,) = ctx.saved_tensors
                return grad * 3 * x ** 2

        y = Cube.apply(x)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise OperandError(f"{type(self).__name__} is not to be made; call {type(self).__name__}.apply(...)")

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The value, of ``(ctx, *args)`` or, beside ``setup_context``, of ``args``. Every subclass defines it."""
        raise NotImplementedError("a Function must define the static method forward")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keeps what backward needs, from the arguments and the result of ``forward``."""
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradient of each argument of ``forward``, from those of its results."""
        raise NotImplementedError("a Function must define the static method backward to be differentiated")

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """The tangent of each result of ``forward`` from those of its arguments, for ``un.func.jvp``."""
        raise NotImplementedError("a Function must define the static method jvp for forward derivatives")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Calls ``forward``, with ``backward`` as its derivative.

        Raises:
            BackendMismatchError: the Tensors live on several backends.
            OperandError: ``forward`` returned no Tensor.
        """
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        tracer = tracing()
        if tracer is not None:
            for tensor in tensors:
                tracer.touch(tensor)
        rule = _Rule(cls, args)
        if not tensors:
            with recording(False):
                outputs, _, _ = rule.forward([])
            return rule.results(outputs)
        names = sorted({tensor.backend for tensor in tensors})
        if len(names) > 1:
            raise BackendMismatchError(
                f"{cls.__name__}: operands live on several backends, {' and '.join(names)}; move them to one with "
                f"x.to(backend={names[0]!r})"
            )
        outputs = engine_of(tensors[0]).custom(RuleCall(rule), tensors)
        for index, position in enumerate(rule.dirty):
            if position is not None:
                outputs[index] = args[position]._assign(outputs[index], reshapes=True)
        return rule.results(outputs)


class _Once(Function):
    """The results of a backward that was not recorded."""

    @staticmethod
    def forward(ctx: Any, name: str, *tensors: Tensor) -> Any:
        ctx.name = name
        return tensors

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        raise AutogradError(
            f"trying to differentiate twice a function that was marked with @once_differentiable ({ctx.name})"
        )


def once_differentiable(function: Backward) -> Backward:
    """Decorates a ``backward`` that is not to be recorded: differentiating its result again is an error."""

    @functools.wraps(function)
    def once(ctx: Any, *cotangents: Any) -> Any:
        recorded = grad_mode.enabled
        with recording(False):
            found = function(ctx, *cotangents)
        given = list(found) if isinstance(found, (tuple, list)) else [found]
        tracked = [t for t in (*cotangents, *ctx.saved_tensors) if isinstance(t, Tensor) and t.requires_grad]
        if not recorded or not tracked:
            return found
        tensors = [t.detach().requires_grad_() for t in given if isinstance(t, Tensor) and t.dtype.is_inexact]
        replaced = iter(_Once.apply(function.__qualname__, *tensors))
        results = [next(replaced) if isinstance(t, Tensor) and t.dtype.is_inexact else t for t in given]
        return tuple(results) if isinstance(found, (tuple, list)) else results[0]

    return once

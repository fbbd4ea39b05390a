"""What XLA on the CPU does not find by itself in a program: transposes that cancel, and loops that are run twice.

A convolution is computed channels last (``convolution.py``), between transposes from and to PyTorch's order. XLA
cancels two that meet, but not across a residual connection or the derivative of a relu. Here a value that was
transposed so is carried as it was before, and only what is not elementwise, nor a sum over whole dimensions, gets the
transpose.

A pullback computes the forward pass again. XLA finds that out, but not for a loop, once the results that one of the
two does not use have been dropped from it. So the same operation of the same operands is put here once.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.extend import core

_ELEMENTWISE = frozenset([
    "abs", "add", "add_any", "and", "ceil", "clamp", "convert_element_type", "copy", "cos", "div", "eq", "erf",
    "exp", "exp2", "expm1", "floor", "ge", "gt", "integer_pow", "is_finite", "le", "log", "log1p", "logistic",
    "lt", "max", "min", "mul", "ne", "neg", "not", "or", "pow", "reduce_precision", "rsqrt", "select_n", "sign",
    "sin", "sqrt", "square", "sub", "tanh", "xor",
])  # fmt: skip
_REDUCTIONS = frozenset(["reduce_and", "reduce_max", "reduce_min", "reduce_or", "reduce_prod", "reduce_sum"])
_CALLS = {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr", "jit": "jaxpr", "pjit": "jaxpr"}
"""What is inlined, and the parameter that holds its body; nothing is differentiated any more."""


def improvable(jaxpr):
    """Whether a program has such a transpose, or two loops, so that :func:`improved` is worth its time."""
    loops = 0
    inside = [jaxpr]
    while inside:
        for equation in inside.pop().eqns:
            loops += equation.primitive.name == "scan"
            if _moves_channels_first(equation) or loops > 1:
                return True
            inner = equation.params.get(_CALLS.get(equation.primitive.name))
            if inner is not None:
                inside.append(getattr(inner, "jaxpr", inner))
    return False


def improved(closed):
    """``closed`` as a function of flat arguments, with transposes of channels only where needed, nothing twice."""

    def run(*arguments):
        results = _run(closed.jaxpr, closed.consts, [_Value(argument) for argument in arguments], {})
        return [result.first() for result in results]

    return run


def _moves_channels_first(equation):
    if equation.primitive.name != "transpose":
        return False
    order = equation.params["permutation"]
    return len(order) > 3 and order == _first(len(order))


def _first(rank):
    return (0, rank - 1, *range(1, rank - 1))


def _last(rank):
    return (0, *range(2, rank), 1)


class _Value:
    """An array, of which the channels may be last though the program has them first."""

    def __init__(self, array, moved=False) -> None:
        self.array, self.moved = array, moved
        self._other = None

    def first(self):
        """The array that the program means."""
        return self._turned(_first) if self.moved else self.array

    def last(self):
        """The same, with its channels last."""
        return self.array if self.moved or not jnp.ndim(self.array) else self._turned(_last)

    def _turned(self, order):
        if self._other is None:
            self._other = jax.lax.transpose(self.array, order(self.array.ndim))
        return self._other


def _run(jaxpr, consts, arguments, known):
    """``known`` holds the results of equations by what they compute, with the operands, whose ids are in the keys."""
    held = dict(zip(jaxpr.constvars, map(_Value, consts), strict=True))
    held.update(zip(jaxpr.invars, arguments, strict=True))
    for equation in jaxpr.eqns:
        operands = [_Value(v.val) if isinstance(v, core.Literal) else held[v] for v in equation.invars]
        key = None if equation.effects else _key(equation, operands)
        if key not in known or key is None:
            known[key] = _results(equation, operands, known), operands
        held.update(zip(equation.outvars, known[key][0], strict=True))
    return [_Value(v.val) if isinstance(v, core.Literal) else held[v] for v in jaxpr.outvars]


def _key(equation, operands):
    """Equal for two equations that compute the same."""
    places = [
        _literal(v) if isinstance(v, core.Literal) else id(operand)
        for v, operand in zip(equation.invars, operands, strict=True)
    ]
    params = equation.params
    return equation.primitive, tuple(places), str(params), tuple(_unwritten(list(params.values())))


def _literal(literal):
    value = literal.val
    return (id(value) if jnp.ndim(value) else repr(value)), literal.aval


def _unwritten(value):
    """What the text of a parameter does not show: the constants of the programs in it."""
    if isinstance(value, (list, tuple)):
        for member in value:
            yield from _unwritten(member)
    elif isinstance(value, core.ClosedJaxpr):
        yield from map(id, value.consts)
        yield from _unwritten(value.jaxpr)
    elif isinstance(value, core.Jaxpr):
        for equation in value.eqns:
            yield from [_literal(v) for v in equation.invars if isinstance(v, core.Literal)]
            yield from _unwritten(list(equation.params.values()))


def _results(equation, operands, known):
    name, params = equation.primitive.name, equation.params
    if name in _CALLS:
        inner = params[_CALLS[name]]
        return _run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), operands, known)
    if _moves_channels_first(equation) and not operands[0].moved:
        return [_Value(operands[0].array, True)]
    if any(operand.moved for operand in operands):
        if name in _ELEMENTWISE:
            return [_Value(equation.primitive.bind(*[each.last() for each in operands], **params), True)]
        if name == "transpose" and params["permutation"] == _last(operands[0].array.ndim):
            return [_Value(operands[0].array)]
        if name in _REDUCTIONS and _keeps_order(params["axes"], operands[0].array.ndim):
            axes = _reduced(params["axes"], operands[0].array.ndim)
            return [_Value(equation.primitive.bind(operands[0].array, **{**params, "axes": axes}))]
    found = equation.primitive.bind(*[each.first() for each in operands], **params)
    return [_Value(each) for each in (found if equation.primitive.multiple_results else [found])]


def _keeps_order(axes, rank):
    """Whether what is left has its dimensions in one order, wherever the channels are."""
    return 1 in axes or set(range(2, rank)) <= set(axes)


def _reduced(axes, rank):
    """The same dimensions, of an array with its channels last."""
    return tuple(sorted(rank - 1 if axis == 1 else axis - (axis > 1) for axis in axes))

"""Arguments of a compiled function are the caller's own Tensors: their identity, their gradients, who keeps them.

The oracle is the function itself, called eagerly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unified as un
from unified import errors, nn

X = np.arange(1, 5, dtype=np.float32)
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
"""Elementwise arithmetic on four float32 numbers; compilers may fuse a product and a sum."""

Way = Callable[..., Any]
"""``un.compile``, or what leaves a function as it is."""


def make(**options: Any) -> un.Tensor:
    return un.tensor(X, **options)


def written_twice(way: Way) -> list[Any]:
    """Two arguments are one Tensor: what is written to the one is read from the other."""

    def f(a, b, nest):
        a.add_(1)
        return b * 1, nest["deep"][0] * 2

    f, x = way(f), make()
    return [f(x, x, {"deep": [x]}), f(x, make(), {"deep": [x]}), f(make(), x, {"deep": [make()]}), x]


def also_captured(way: Way) -> list[Any]:
    """An argument is a Tensor that the function reaches by a closure too; in other calls it is not."""
    x = make()

    def f(a):
        x.add_(1)
        a.mul_(2)
        return a + x

    f = way(f)
    return [f(x), f(make()), f(x), x]


def parameter_of_the_module(way: Way) -> list[Any]:
    model = nn.Linear(4, 1)
    with un.no_grad():
        model.weight.fill_(0.5)
        model.bias.fill_(0.1)

    def f(weight, x):
        with un.no_grad():
            weight.mul_(0.5)
        return model(x).sum()

    f = way(f)
    f(model.weight, make()).backward()
    gradient = model.weight.grad * 1
    return [gradient, f(nn.Parameter(un.ones(1, 4)), make()), model.weight]


def functional_training(way: Way) -> list[Any]:
    """Parameters as arguments: dropped and read gradients, an update under ``no_grad``."""

    def step(parameters, x):
        for parameter in parameters:
            parameter.grad = None
        loss = (parameters[0] * x + parameters[1]).square().sum()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        with un.no_grad():
            for parameter in parameters:
                parameter.sub_(parameter.grad * 0.1)
        return loss.detach()

    step, parameters = way(step), [nn.Parameter(make()), nn.Parameter(make() * 0.5)]
    losses = [step(parameters, make()) for _ in range(3)]
    return [losses, parameters, [parameter.grad for parameter in parameters]]


def gradient_accumulates(way: Way) -> list[Any]:
    """What was there counts, for what reads the gradient inside too, and stays the same object."""

    def f(x):
        (x * x).sum().backward()
        return x.grad * 2

    f, x = way(f), make(requires_grad=True)
    first = f(x)
    held = x.grad
    return [first, held * 1, f(x), held is x.grad, x.grad]


def gradient_is_only_read(way: Way) -> list[Any]:
    def descend(x):
        with un.no_grad():
            x.sub_(x.grad * 0.1)

    descend, x = way(descend), make(requires_grad=True)
    (x * x).sum().backward()
    descend(x)
    (x * x).sum().backward()
    with un.no_grad():
        descend(x)
    return [x, x.grad]


def gradient_is_written(way: Way) -> list[Any]:
    """Cleared, assigned, and cleared before backward."""

    def f(x, y, z):
        x.grad = None
        y.grad = x.detach() * 2
        z.grad = None
        (z * x.detach()).sum().backward()

    f, tensors = way(f), [make(requires_grad=True) for _ in range(3)]
    sum((t * t).sum() for t in tensors).backward()
    f(*tensors)
    f(*tensors)
    return [t.grad for t in tensors]


def shape_is_changed(way: Way) -> list[Any]:
    state = un.zeros(4)

    def f(x):
        state.add_(1)
        x.squeeze_(0)
        return x * 2

    x = un.ones(1, 4)
    return [way(f)(x), x, state]


CASES = [
    written_twice, also_captured, parameter_of_the_module, functional_training, gradient_accumulates,
    gradient_is_only_read, gradient_is_written, shape_is_changed,
]  # fmt: skip
_QUICK = (written_twice, also_captured, gradient_accumulates)


def _cases():
    for name in ("torch", "jax", "tensorflow"):
        for case in CASES:
            slow = name == "torch" and case not in _QUICK  # inductor takes seconds for each program
            yield pytest.param(name, case, marks=[pytest.mark.full] if slow else [], id=f"{name}-{case.__name__}")


def values(result: Any) -> list[Any]:
    leaves: list[un.Tensor] = []
    described = un._structure.flatten(result, leaves)
    return [repr(described), *[leaf.detach().numpy().copy() for leaf in leaves]]


@pytest.mark.parametrize(("backend", "case"), list(_cases()), indirect=["backend"])
def test_arguments_act_compiled_as_they_do_eagerly(backend, case):
    compiled, eager = values(case(un.compile)), values(case(lambda function: function))
    assert compiled[0] == eager[0]
    for a, b in zip(compiled[1:], eager[1:], strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


def test_which_arguments_are_one_tensor_is_part_of_the_signature(backend):
    x, y = make(), make()
    f = un.compile(lambda a, b: a + b)
    f(x, y), f(x, x), f(y, y), f(y, x)
    assert len(f.explain().programs) == 2
    assert f.explain().reasons[1] == "a Tensor is given in more than one place, or no longer is"
    g = un.compile(lambda a: a + x)
    g(y), g(x), g(y), g(x), g(make())
    assert len(g.explain().programs) == 2
    assert g.explain().reasons[1] == (
        "an argument is now, or is no longer, a Tensor that the function also reaches by itself"
    )
    lowered = f.lower(x, x).compile()
    with pytest.raises(errors.CompileError, match="which of them are one Tensor changed"):
        lowered(x, y)


def test_fresh_arguments_of_a_step_with_backward_are_one_program(backend):
    f = un.compile(lambda x: (x * x).sum().backward())
    for _ in range(3):
        x = make(requires_grad=True)
        f(x)
        np.testing.assert_allclose(x.grad.numpy(), 2 * X, **CLOSE)
    assert len(f.explain().programs) == 1
    f(x)
    np.testing.assert_allclose(x.grad.numpy(), 4 * X, **CLOSE)
    assert "the grad of a captured Tensor or of an argument changed between None and a Tensor" in f.explain()


@pytest.mark.parametrize("where", ["attribute", "list", "Module", "closure that is returned"])
def test_an_argument_that_is_kept_is_an_error(backend, where):
    class Remembering(nn.Module):
        def forward(self, x):
            self.last = x
            return x * 2

    class Holder:
        last = None

    holder, listed, state = Holder(), [], un.zeros(4)

    def f(x):
        state.add_(1)
        if where == "attribute":
            holder.last = x
        elif where == "list":
            listed.append({"x": x})
        else:
            return lambda: x
        return x * 2

    compiled = un.compile(Remembering() if where == "Module" else f)
    with pytest.raises(errors.LeakedTensorError, match=r"argument\(s\) of the compiled function are still held"):
        compiled(make())
    np.testing.assert_array_equal(state.numpy(), np.zeros(4))


def test_code_that_would_run_after_the_program_is_refused(backend):
    def rows(x):
        yield x[0]

    async def later(x):
        return x

    for function, kind in ((rows, "generator"), (lambda x: map(abs, [x]), "map")):
        with pytest.raises(errors.CompileError, match=f"returns a {kind}, whose code would run"):
            un.compile(function)(make())
    with pytest.warns(RuntimeWarning, match="never awaited"), pytest.raises(errors.CompileError, match="coroutine"):
        un.compile(later)(make())


def test_a_gradient_delivered_before_the_first_call_is_a_value(backend):
    """PyTorch's engine has delivered it, and nobody has looked, when tracing asks for it."""
    w = make(requires_grad=True)

    def f():
        return w.grad * 1

    for _ in range(2):
        (w * w).sum().backward()
    np.testing.assert_allclose(un.compile(f)().numpy(), 4 * X, **CLOSE)
    np.testing.assert_allclose(w.grad.numpy(), 4 * X, **CLOSE)

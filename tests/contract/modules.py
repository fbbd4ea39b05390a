"""Hooks of Modules: what they are given, when, and what they may change."""

from __future__ import annotations

import contextlib
from typing import Any

from tests.contract.row import A, B, Run, Theme, leaf

row = Theme(__name__)


def linear(lib: Any) -> Any:
    """A layer of three to two with known weights."""
    module = lib.nn.Linear(3, 2)
    with lib.no_grad():
        module.weight.copy_(lib.tensor(B))
        module.bias.copy_(lib.tensor(A[:, 0]))
    return module


@row
def a_forward_hook_replaces_the_output(lib: Any, run: Run) -> Any:
    """``hook(module, args, output)``: what it returns, unless None, is the output."""
    module, x = linear(lib), lib.tensor(A)
    module.register_forward_hook(lambda m, args, output: output * 2 + args[0].sum())
    module.register_forward_hook(lambda m, args, output: None)
    run(lambda: module(x).sum().backward())()
    return module(x).detach(), module.weight.grad


@row
def a_forward_pre_hook_replaces_the_arguments(lib: Any, run: Run) -> Any:
    """``hook(module, args)``: a value that is no tuple is the one argument."""
    module, x = linear(lib), lib.tensor(A)
    module.register_forward_pre_hook(lambda m, args: args[0] * 2)
    module.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    run(lambda: module(x).sum().backward())()
    return module(x).detach(), module.weight.grad


class _Scaled:
    """Makes a Module whose forward takes a keyword argument."""

    def __new__(cls, lib: Any) -> Any:
        class Scaled(lib.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = lib.nn.Parameter(lib.tensor(B))

            def forward(self, x: Any, scale: float = 1.0) -> Any:
                if scale == 0.0:
                    raise ZeroDivisionError("scale")
                return x * self.weight * scale

        return Scaled()


@row
def forward_hooks_with_keyword_arguments(lib: Any, run: Run) -> Any:
    """``with_kwargs=True`` gives hooks the keyword arguments, and lets a pre-hook change them."""
    module, x = _Scaled(lib), lib.tensor(A)
    module.register_forward_pre_hook(lambda m, a, k: (a, {"scale": k["scale"] * 2}), with_kwargs=True)
    module.register_forward_hook(lambda m, a, k, output: output + k["scale"], with_kwargs=True)
    run(lambda: module(x, scale=3.0).sum().backward())()
    return module(x, scale=3.0).detach(), module.weight.grad


@row
def hooks_may_be_prepended_and_removed(lib: Any, run: Run) -> Any:
    """``prepend=True`` goes first; a removed hook does not run."""
    module, x = linear(lib), lib.tensor(A)

    def call() -> Any:
        seen: list[str] = []
        handles = [
            module.register_forward_hook(lambda m, a, o: seen.append("second")),
            module.register_forward_hook(lambda m, a, o: seen.append("first"), prepend=True),
            module.register_forward_pre_hook(lambda m, a: seen.append("before")),
            module.register_forward_hook(lambda m, a, o: seen.append("never")),
        ]
        handles.pop().remove()
        module(x)
        for handle in handles:
            handle.remove()
        module(x)
        return seen

    return run(call)()


@row(needs="always_call")
def a_hook_may_be_called_after_an_exception(lib: Any, run: Run) -> Any:
    """``always_call=True`` runs a forward hook also where forward raised, with None for the output."""
    module, x = _Scaled(lib), lib.tensor(A)

    def call() -> Any:
        seen: list[Any] = []
        first = module.register_forward_hook(lambda m, a, o: seen.append(("always", o is None)), always_call=True)
        second = module.register_forward_hook(lambda m, a, o: seen.append(("plain", o is None)))
        with contextlib.suppress(ZeroDivisionError):
            module(x, scale=0.0)
        module(x)
        first.remove()
        second.remove()
        return seen

    return run(call)()


@row(needs="module_backward_hooks")
def a_full_backward_hook_sees_both_gradients(lib: Any, run: Run) -> Any:
    """``hook(module, grad_input, grad_output)``, tuples for the inputs and the outputs of that call."""
    module, x = linear(lib), leaf(lib, A)

    def step() -> Any:
        seen: list[Any] = []

        def hook(m: Any, grad_input: Any, grad_output: Any) -> None:
            seen.append((m is module, isinstance(grad_input, tuple), grad_input[0] * 1, grad_output[0] * 1))

        handle = module.register_full_backward_hook(hook)
        (module(x * 2) ** 2).sum().backward()
        handle.remove()
        return seen

    return run(step)(), x.grad, module.weight.grad


@row(needs="module_backward_hooks")
def a_full_backward_hook_replaces_the_input_gradient(lib: Any, run: Run) -> Any:
    """What it returns flows on to what made the input; the Module's own parameters keep theirs."""
    module, x = linear(lib), leaf(lib, A)
    module.register_full_backward_hook(lambda m, grad_input, grad_output: (grad_input[0] * 10,))
    run(lambda: (module(x * 2) ** 2).sum().backward())()
    return x.grad, module.weight.grad


@row(needs="module_backward_hooks")
def a_full_backward_hook_has_none_for_a_constant_input(lib: Any, run: Run) -> Any:
    """Where no input requires grad, ``grad_input`` holds None."""
    module, x = linear(lib), lib.tensor(A)

    def step() -> Any:
        seen: list[Any] = []
        handle = module.register_full_backward_hook(lambda m, i, o: seen.append((len(i), i[0] is None, o[0] * 1)))
        (module(x) ** 2).sum().backward()
        handle.remove()
        return seen

    return run(step)(), module.weight.grad


@row(needs="module_backward_hooks")
def a_full_backward_pre_hook_replaces_the_output_gradient(lib: Any, run: Run) -> Any:
    """``hook(module, grad_output)`` runs first, and changes what the Module's backward starts from."""
    module, x = linear(lib), leaf(lib, A)
    module.register_full_backward_pre_hook(lambda m, grad_output: (grad_output[0] * 3,))
    module.register_full_backward_pre_hook(lambda m, grad_output: None)
    run(lambda: (module(x * 2) ** 2).sum().backward())()
    return x.grad, module.weight.grad


@row(needs="module_backward_hooks")
def module_backward_hooks_run_in_order(lib: Any, run: Run) -> Any:
    """Last Module first; within one, pre-hooks before hooks."""
    first, second, x = linear(lib), lib.nn.Linear(2, 2), leaf(lib, A)

    def step() -> Any:
        seen: list[str] = []
        handles = []
        for name, module in (("first", first), ("second", second)):
            handles.append(module.register_full_backward_hook(lambda m, i, o, name=name: seen.append(name)))
            handles.append(module.register_full_backward_pre_hook(lambda m, o, name=name: seen.append(f"pre {name}")))
        second(first(x)).sum().backward()
        for handle in handles:
            handle.remove()
        return seen

    return run(step)()


@row(needs="module_backward_hooks")
def a_full_backward_hook_of_a_module_called_twice(lib: Any, run: Run) -> Any:
    """Each call has its own."""
    module, x = linear(lib), leaf(lib, A)

    def step() -> Any:
        seen: list[Any] = []
        handle = module.register_full_backward_hook(lambda m, i, o: seen.append(o[0] * 1))
        (module(x) * 2).sum().backward()
        (module(x) * 3).sum().backward()
        handle.remove()
        return seen

    return run(step)(), x.grad


@row(needs="module_backward_hooks")
def a_full_backward_hook_of_several_outputs(lib: Any, run: Run) -> Any:
    """``grad_output`` has an entry for each output, in a Module that returns a tuple."""

    class Both(lib.nn.Module):
        def forward(self, x: Any, y: Any) -> Any:
            return x * y, x + y

    module, x, y = Both(), leaf(lib, A), leaf(lib, B)

    def step() -> Any:
        seen: list[Any] = []
        handle = module.register_full_backward_hook(
            lambda m, i, o: seen.append(([g * 1 for g in i], [g * 1 for g in o]))
        )
        product, total = module(x * 1, y * 1)
        (product * 2 + total * total).sum().backward()
        handle.remove()
        return seen

    return run(step)(), x.grad, y.grad


@row(needs="global_hooks")
def global_forward_hooks_see_every_module(lib: Any, run: Run) -> Any:
    """Hooks for all Modules run besides the Module's own, before them."""
    net = lib.nn.Sequential(linear(lib), lib.nn.Tanh())
    x, hooks = lib.tensor(A), lib.nn.modules.module

    def call() -> Any:
        seen: list[str] = []
        handles = [
            hooks.register_module_forward_hook(lambda m, a, o: seen.append(f"after {type(m).__name__}")),
            hooks.register_module_forward_pre_hook(lambda m, a: seen.append(f"before {type(m).__name__}")),
            net.register_forward_hook(lambda m, a, o: seen.append("its own")),
        ]
        net(x)
        for handle in handles:
            handle.remove()
        net(x)
        return seen

    return run(call)()


@row(needs=("global_hooks", "module_backward_hooks"))
def global_backward_hooks_see_every_module(lib: Any, run: Run) -> Any:
    """So do those of backward."""
    net = lib.nn.Sequential(linear(lib), lib.nn.Tanh())
    x, hooks = leaf(lib, A), lib.nn.modules.module

    def step() -> Any:
        seen: list[str] = []
        handles = [
            hooks.register_module_full_backward_hook(lambda m, i, o: seen.append(type(m).__name__)),
            hooks.register_module_full_backward_pre_hook(lambda m, o: seen.append(f"pre {type(m).__name__}")),
        ]
        net(x).sum().backward()
        for handle in handles:
            handle.remove()
        return seen

    return run(step)()


@row(needs="register_hook")
def hooks_on_parameters(lib: Any, run: Run) -> Any:
    """A Tensor hook on a Module's parameter: clipping as gradients arrive."""
    module, x = linear(lib), lib.tensor(A)
    for parameter in module.parameters():
        parameter.register_hook(lambda g: g.clamp(-0.5, 0.5))
    run(lambda: (module(x) ** 2).sum().backward())()
    return module.weight.grad, module.bias.grad


@row
def requires_grad_of_a_module(lib: Any, run: Run) -> Any:
    """A frozen layer gets no gradients and passes them on."""
    frozen, live, x = linear(lib), lib.nn.Linear(2, 1), leaf(lib, A)
    with lib.no_grad():
        live.weight.copy_(lib.tensor(B[:1, :2]))
        live.bias.zero_()
    frozen.requires_grad_(False)
    run(lambda: live(frozen(x)).sum().backward())()
    return frozen.weight.grad, live.weight.grad, x.grad

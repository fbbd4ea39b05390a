"""The static path on PyTorch: ``make_fx`` traces the whole step, backward included, and inductor compiles it.

The graph has no autograd left in it and its shapes are fixed, so it goes to inductor without Dynamo in front, which
would trace it once more and check every argument at every call. An optimiser's fused kernel works in place and on all
parameters at once; inductor would compile it once a parameter. So it is cut off the graph's end, and runs after it.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import operator
from typing import NamedTuple

import torch
from torch._C._functorch import get_unwrapped, is_functorch_wrapped_tensor
from torch._guards import TracingContext, tracing
from torch._ops import HigherOrderOperator
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing, make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._pytree import tree_leaves

from unified.backends.protocol import cache, errors, held_elsewhere
from unified.backends.torch import device
from unified.backends.torch.dtype import to_native
from unified.backends.torch.layout import OPTIONS
from unified.backends.torch.lowering import Lowering, inductor, together
from unified.backends.torch.optim import UPDATE, update_in_place

_HALVES = (torch.bfloat16, torch.float16)
_OWN_STORAGE = 2
"""How many hold a storage that nobody else does: the tensor, and the Python object that asks."""


class TorchCompiler:
    """Satisfies ``protocol.Compiler``."""

    description = "make_fx + inductor"
    donates = True

    def __init__(self) -> None:
        self._modes = []

    def discover(self, function, leaves):
        mode = _static_mode()
        with disable_proxy_modes_tracing(), _unhooked(), _unlogged(), mode, self.within(mode):
            function([self.abstract(leaf) for leaf in leaves])

    def abstract(self, native):
        while is_functorch_wrapped_tensor(native):
            native = get_unwrapped(native)
        with unset_fake_temporarily():  # where a detach would convert, and look at the .grad of what is no leaf
            native = native.detach()
        return self._modes[-1].from_tensor(native, static_shapes=True)

    def build(self, function, leaves, donated, kept):
        return self.lower(function, leaves, donated, kept).compile()

    def lower(self, function, leaves, donated, kept, platform=None):
        if platform is not None:
            raise errors.CompileError(
                f"PyTorch compiles for the hardware that its tensors are on; lowering for {platform!r} is JAX's alone"
            )
        first, second = len(leaves), len(leaves) + len(donated)
        natives = [*leaves, *donated, *kept]
        graph = trace(lambda natives: function(natives[:first], natives[first:second], natives[second:]), natives)
        return Lowering(graph, natives, lambda: compiled(graph, natives, range(first, second)))

    def placeholder(self, shape, dtype, place):
        return torch.empty(shape, dtype=to_native(dtype), device=None if place is None else device.to_native(place))

    def barrier(self, natives):
        return natives

    def differentiable(self, op):
        """The program of a whole function as one node of torch's autograd, its pullback a program too."""
        programs = {}

        def program(*groups):
            flat = [native for group in groups for native in group if native is not None]
            layout = tuple(tuple(native is not None for native in group) for group in groups)
            run = programs.get(layout)
            if run is None:
                graph = trace(lambda natives: op.composite(*_grouped(layout, natives)), flat)
                run = programs[layout] = compiled(graph, flat)
            return list(_Program.apply(op, run, layout, *flat))

        return program

    def is_traced(self, native):
        return isinstance(native, FakeTensor) or is_functorch_wrapped_tensor(native)

    def scope(self):
        return self._modes[-1] if self._modes else None

    @contextlib.contextmanager
    def within(self, scope):
        self._modes.append(scope)
        try:
            yield
        finally:
            self._modes.pop()

    def made_in(self, native, scope):
        while is_functorch_wrapped_tensor(native):
            native = get_unwrapped(native)
        return isinstance(native, FakeTensor) and native.fake_mode is scope

    def stop_gradient(self, native):
        return native.detach()

    def signature(self, native):
        return (native.shape, native.dtype, native.device)

    def claim(self, natives, shared):
        elsewhere = set(held_elsewhere(natives, shared))
        for position, native in enumerate(natives):
            if position in elsewhere or native._use_count() > 1 or _shares_storage(native):
                natives[position] = native.detach().clone()

    def number(self, value, wide):
        return torch.tensor(value, dtype=torch.float64 if wide else torch.float32)

    def as_number(self, traced):
        return traced


def _shares_storage(native):
    return torch._C._storage_Use_Count(native.untyped_storage()._cdata) > _OWN_STORAGE


class _Program(torch.autograd.Function):
    @staticmethod
    def forward(ctx, op, run, layout, *flat):
        ctx.op, ctx.layout = op, layout
        ctx.save_for_backward(*flat)
        ctx.set_materialize_grads(False)
        results = _apart(run(flat))
        ctx.mark_non_differentiable(*[r for r in results if not (r.is_floating_point() or r.is_complex())])
        return results

    @staticmethod
    def backward(ctx, *cotangents):
        places = [(i, j) for i, group in enumerate(ctx.layout) for j, there in enumerate(group) if there]
        needs = ctx.needs_input_grad[3:]
        mask = tuple(place for place, need in zip(places, needs, strict=True) if need)
        pull = ctx.op.pullback(mask).implementations[torch.Tensor]
        found = iter(pull(*_grouped(ctx.layout, ctx.saved_tensors), list(cotangents)))
        return None, None, None, *[next(found) if need else None for need in needs]


def _apart(results):
    """``results`` as different tensors where a graph returns one twice: autograd would lose all but the last."""
    apart = {id(result): result for result in results}
    return tuple(apart.pop(id(result), None) if id(result) in apart else result.view_as(result) for result in results)


def _grouped(layout, flat):
    """``flat`` as the lists that ``layout`` describes, with None where nothing was given."""
    iterator = iter(flat)
    return [[next(iterator) if there else None for there in group] for group in layout]


def trace(function, natives):
    """The graph of ``function`` of a list at these shapes, as a module of flat tensors."""
    inputs = [native.detach() for native in natives]
    with _unhooked(), _unlogged():
        module = make_fx(lambda *traced: list(function(list(traced))), tracing_mode="fake")(*inputs)
    for node in list(module.graph.nodes):
        if not node.users and (_is_question(node.target) or _has_failed(node)):
            module.graph.erase_node(node)
    module.recompile()
    return module


def _static_mode():
    """A mode of fake tensors that knows of symbolic shapes and makes none."""
    return FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv(), static_shapes=True)


def _unhooked():
    """Keeps what a trace saves for its own backward pass from a checkpoint that is at work around it."""
    if torch._C._autograd._top_saved_tensors_default_hooks(False) is None:
        return contextlib.nullcontext()
    return torch.autograd.graph.saved_tensors_hooks(lambda saved: saved, lambda saved: saved)


@contextlib.contextmanager
def _unlogged():
    """What an op refuses is raised, and not logged with a traceback as well."""
    logger = logging.getLogger(FakeTensorMode.__module__)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _has_failed(node):
    """Whether it is of an op that raised, which the function has caught: it is in the graph, but has no value."""
    return node.op == "call_function" and "val" not in node.meta


def _is_question(target):
    """Whether an op answers with no tensor: one of autograd's own checks, which inductor does not take."""
    schema = getattr(target, "_schema", None)
    return schema is not None and bool(schema.returns) and all("Tensor" not in str(r.type) for r in schema.returns)


# ---- from a graph to a program ----------------------------------------------------------------------------------


class Update(NamedTuple):
    """One that was cut off: the places of its operands among the values of a call."""

    places: list
    """Of the gradients, and of the numbers."""
    decoupled: bool
    targets: list
    """Of the arguments that it writes to."""


def compiled(graph, natives, owned=range(0)):
    """The program of a graph: a function of a list of natives.

    Args:
        graph: from ``trace``.
        natives: examples of its arguments.
        owned: positions of arguments whose buffers the program may write to.
    """
    graph = torch.fx.GraphModule(graph, copy.deepcopy(graph.graph))  # inductor takes what it is given apart
    _forget_autograd(graph)
    updates, results = _cut_updates(graph, owned)
    graph.recompile()
    examples = [native.detach() for native in natives]
    strides = [example.stride() for example in examples]
    options = dict(OPTIONS)
    if not cache.enabled():
        options["fx_graph_cache"] = False
    if _has_halves(graph):
        options["emulate_precision_casts"] = True  # where fused kernels would keep bits that eager ones round away
    inductor("config")
    with torch.no_grad():
        if any(isinstance(node.target, HigherOrderOperator) for node in graph.graph.nodes):
            by_dynamo = torch.compile(graph, fullgraph=True, dynamic=False, options=options)  # it looks within them

            @together()  # since it compiles at the first call
            def run(*values):
                return by_dynamo(*values)

        else:
            # inductor keeps a program on disk where a mode is at work that knows of symbolic shapes; none is one here
            mode = _static_mode()
            fakes = [mode.from_tensor(example, static_shapes=True) for example in examples]
            with together(), tracing(TracingContext(mode)):
                run = torch._inductor.compile(graph, fakes, options=options)

    def program(natives):
        values = []
        for native, stride in zip(natives, strides, strict=True):
            if native.requires_grad:
                native = native.detach()
            if native.stride() != stride:  # the program's code has them in it
                fresh = torch.empty_strided(native.shape, stride, dtype=native.dtype, device=native.device)
                native = fresh.copy_(native)
            values.append(native)
        with torch.no_grad():
            values += run(*values)
            for update in updates:
                grads, numbers = ([values[place] for place in group] for group in update.places)
                update_in_place([values[place] for place in update.targets], grads, numbers, update.decoupled)
        return [values[place] for place in results]

    return program


def _has_halves(graph):
    """Whether something in the graph, or in one within it, has 16-bit floats."""
    graphs = [module.graph for module in graph.modules() if isinstance(module, torch.fx.GraphModule)]
    values = tree_leaves([node.meta.get("val") for inner in graphs for node in inner.nodes])
    return any(isinstance(value, torch.Tensor) and value.dtype in _HALVES for value in values)


def _forget_autograd(graph):
    """Erases the detaches: nothing is recorded here, and each would be a node for inductor to look at."""
    for node in list(graph.graph.nodes):
        if node.target is torch.ops.aten.detach.default:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)


def _cut_updates(graph, owned):
    """Takes the updates off the graph that may run in place, and adds to its results what they need.

    Returns:
        The updates, and the place of each of the old results among the values of a call: arguments, then results.
    """
    arguments = [node for node in graph.graph.nodes if node.op == "placeholder"]
    places = {node: place for place, node in enumerate(arguments)}
    output = next(iter(reversed(graph.graph.nodes)))
    wanted = list(output.args[0])
    candidates = [node for node in graph.graph.nodes if node.target is UPDATE]
    mine = {node for node, place in places.items() if place in owned}
    cut = [node for node in candidates if _runs_last(node, output, mine)]
    written = [argument for node in cut for argument in _written(node)]
    held = {_storage(result) for result in wanted if not _comes_from(result, cut)}
    if len(set(written)) != len(written) or held & {_storage(argument) for argument in written}:
        return [], list(range(len(arguments), len(arguments) + len(wanted)))
    results = []  # of the graph without its updates

    def place(node):
        if node not in places:
            places[node] = len(arguments) + len(results)
            results.append(node)
        return places[node]

    updates = []
    for node in cut:
        grads, *_, numbers, decoupled = node.args[1:]
        updates.append(Update([[place(n) for n in grads], [place(n) for n in numbers]], decoupled, []))
        updates[-1].targets.extend(places[argument] for argument in _written(node))
    final = []
    for result in wanted:
        if _comes_from(result, cut):
            source, index = result.args
            final.append(places[_written(source)[index]])
        else:
            final.append(place(result))
    output.args = (tuple(results),)
    for node in cut:
        for user in list(node.users):
            graph.graph.erase_node(user)
        graph.graph.erase_node(node)
    return updates, final


def _written(update):
    """The arguments whose place the results take."""
    params, _, means, squares, largest = update.args[:5]
    return [*params, *means, *squares, *largest]


def _runs_last(update, output, owned):
    """Whether its results are the program's alone, in the place of arguments that it owns."""
    return owned.issuperset(_written(update)) and all(
        user.target is operator.getitem and all(reader is output for reader in user.users) for user in update.users
    )


def _comes_from(node, updates):
    return node.target is operator.getitem and node.args[0] in updates


def _storage(node):
    value = node.meta.get("val")  # a constant has none
    return None if value is None else value.untyped_storage()._cdata

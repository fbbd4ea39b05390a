"""A program for PyTorch before it runs: the graph that ``make_fx`` traced, its costs, and inductor's code for it.

Inductor tells neither operations nor memory. So operations are those that ``torch.utils.flop_counter`` knows
(products, convolutions, attention), bytes are what each operation of the graph reads and writes, and the peak is
that of the graph in its own order: upper bounds, since inductor fuses operations and never stores many of the values.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import os
import re
from typing import NamedTuple
from unittest import mock

import torch
from torch._inductor.runtime.cache_dir_utils import default_cache_dir
from torch._ops import HigherOrderOperator
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx import Interpreter
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.flop_counter import FlopCounterMode

from unified.backends.protocol import Step, cache, peak

_FOLDER = "TORCHINDUCTOR_CACHE_DIR"
"""Where inductor keeps its programs. Its own default is a folder that a reboot empties."""


def inductor(module):
    """A module of inductor's, which takes seconds to import, set to keep what it compiles in the user's folder."""
    kept = cache.folder("torch")
    if kept is not None and os.environ.get(_FOLDER) in (None, default_cache_dir()):  # which importing torch writes
        os.environ[_FOLDER] = str(kept)
    return importlib.import_module(f"torch._inductor.{module}")


class Lowering:
    """Satisfies ``protocol.Lowering``."""

    def __init__(self, graph, natives, build) -> None:
        self._graph, self._natives, self._build = graph, natives, build

    def text(self, stage):
        if stage == "graph":
            return self._graph.print_readable(print_output=False)
        if stage == "lowered":
            return _decomposed(self._graph, self._natives).print_readable(print_output=False)
        return _code(self._graph, self._natives)

    def compile(self):
        return Executable(self._graph, self._build())


class Executable:
    """Satisfies ``protocol.Executable``."""

    def __init__(self, graph, run) -> None:
        self._graph, self._run = graph, run

    def __call__(self, leaves, donated, kept):
        return self._run([*leaves, *donated, *kept])

    def cost(self):
        return costs(self._graph)

    def memory(self):
        return memory(self._graph)


def _fakes(graph):
    """What stands for the graph's arguments in its trace."""
    return [node.meta["val"] for node in graph.graph.nodes if node.op == "placeholder"]


def _decomposed(graph, natives):
    table = inductor("decomposition").select_decomp_table()
    return make_fx(graph, decomposition_table=table, tracing_mode="fake")(*natives)


def _code(graph, natives):
    """Inductor's source for it, compiled past its caches, which keep no source."""
    found = []
    keep = mock.patch.object(inductor("graph").GraphLowering, "save_output_code", found.append)
    mode = FakeTensorMode()
    with keep, inductor("config").patch(fx_graph_cache=False), mode, torch.no_grad():
        fakes = [mode.from_tensor(native, static_shapes=True) for native in natives]
        inductor("compile_fx").compile_fx(_decomposed(graph, natives), fakes)
    return "\n".join(found)


def costs(graph):
    """Counted on fake tensors: nothing is computed."""
    counter = FlopCounterMode(display=False)
    fakes = _fakes(graph)
    mode = next((fake.fake_mode for fake in fakes if isinstance(fake, FakeTensor)), None) or FakeTensorMode()
    with mode, counter, torch.no_grad():
        _Counting(graph).run(*fakes)
    flops, moved = float(counter.get_total_flops()), 0.0
    for node in graph.graph.nodes:
        if node.op == "call_function" and not _is_alias(node):
            moved += _size(node) + sum(_size(operand) for operand in node.all_input_nodes)
        if isinstance(node.target, HigherOrderOperator):
            within = _within(node)
            flops, moved = flops + within["flops"], moved + within["bytes accessed"]
    return {"flops": flops, "bytes accessed": moved}


class _Counting(Interpreter):
    """Has the values of control flow from the trace: the counter does not look into it."""

    def run_node(self, n):
        return n.meta["val"] if isinstance(n.target, HigherOrderOperator) else super().run_node(n)


def _within(node):
    """What control flow costs: a scan's body once for each element, of branches the dearest one.

    The graphs of a ``while_loop`` count once: nobody knows how often they run.
    """
    owner, name = node.graph.owning_module, node.target.name()
    graphs = [getattr(owner, argument.target) for argument in node.args if getattr(argument, "op", "") == "get_attr"]
    found = [costs(graph) for graph in graphs if isinstance(graph, torch.fx.GraphModule)]
    trips = node.args[2][0].meta["val"].shape[0] if name == "scan" else 1
    total = max if name == "cond" else sum
    return {what: trips * total([cost[what] for cost in found]) for what in ("flops", "bytes accessed")}


def memory(graph):
    """Of the graph as it is written."""
    nodes = list(graph.graph.nodes)
    places = {node: place for place, node in enumerate(nodes)}
    steps = [
        Step(0 if node.op == "output" else _size(node), [places[n] for n in node.all_input_nodes], _is_alias(node))
        for node in nodes
    ]
    arguments = [place for place, node in enumerate(nodes) if node.op == "placeholder"]
    results = steps[-1].operands
    most = peak(steps, arguments, results)
    sizes = {
        "arguments": sum(steps[place].size for place in arguments),
        "outputs": sum(steps[place].size for place in results),
    }
    return {**sizes, "temporary": max(most - sum(sizes.values()), 0), "peak": most}


def _size(node):
    value = node.meta.get("val")
    values = value if isinstance(value, (list, tuple)) else [value]
    return sum(v.numel() * v.element_size() for v in values if isinstance(v, torch.Tensor))


def _is_alias(node):
    """Whether a node's result is a view of what it is computed from."""
    if getattr(node.target, "__name__", "") == "getitem":
        return True
    schema = getattr(node.target, "_schema", None)
    return schema is not None and any(result.alias_info is not None for result in schema.returns)


# ---- inductor's C++ kernels --------------------------------------------------------------------------------------

# Inductor runs the C++ compiler once a kernel, and nearly all of such a run is its start: of 0.48 s of CPU, 0.28 read
# the header and 0.06 link. So the kernels of a program are put into one source, each in a namespace with inductor's
# Python binding of its own, and are loaded from one library. On a machine of many cores there are several sources.

_FEWEST, _MOST = 8, 48
"""How many kernels are worth a source, and how many are in one at most."""


class _Kernel(NamedTuple):
    """One that is not compiled yet."""

    argument_types: list
    source: str


@contextlib.contextmanager
def together():
    """Within, what inductor compiles has its kernels in few sources. Another thread's may or may not have."""
    module = inductor("async_compile")
    module.AsyncCompile = _compiler()  # which the program's code imports when it is loaded
    try:
        yield
    finally:
        module.AsyncCompile = _compiler().__base__


@functools.cache
def _compiler():
    """Inductor's own, which takes a kernel down and compiles when it is told to wait for all of them."""
    original, threads = inductor("async_compile").AsyncCompile, inductor("async_compile").get_compile_threads

    class Together(original):
        def cpp_pybinding(self, argtypes, source_code):
            return _Kernel(argtypes, source_code)

        def wait(self, scope):
            names = [name for name, value in scope.items() if isinstance(value, _Kernel)]
            size = min(_MOST, max(_FEWEST, math.ceil(len(names) / threads())))
            batches = [names[start : start + size] for start in range(0, len(names), size)]
            submit = self.submit if threads() > 1 else None
            loads = [_load([scope[name] for name in batch], submit) for batch in batches]
            for batch, load in zip(batches, loads, strict=True):
                try:
                    kernels = load()
                except (inductor("exc").CppCompileError, ImportError):  # names that meet; a file that was cut short
                    kernels = [original.cpp_pybinding(self, *scope[name]) for name in batch]
                scope.update(zip(batch, kernels, strict=True))
            super().wait(scope)

    return Together


def _load(kernels, submit):
    """Starts compiling; the function that waits for it and gives the kernels as Python functions."""
    loaders = [_loader(number) for number in range(len(kernels))]
    compiled = loaders[0].load_async(_joined(kernels, loaders), "cpu", submit_fn=submit)

    def load():
        library = compiled()
        modules = [loader._load_library_inner(library.__file__, library.key) for loader in loaders]
        return [getattr(module, loader.entry_function) for module, loader in zip(modules, loaders, strict=True)]

    return load


@functools.cache
def _loader(number):
    """Inductor's loader of a kernel that has a number."""
    unnumbered = inductor("codecache").CppPythonBindingsCodeCache
    return type("NumberedKernel", (unnumbered,), {"entry_function": f"kernel_{number}"})


def _joined(kernels, loaders):
    """One source. Every kernel is called ``kernel`` in its own."""
    parts = []
    for kernel, loader in zip(kernels, loaders, strict=True):
        types = [each.replace("const ", "") for each in kernel.argument_types]
        arguments = ", ".join(f"parse_arg<{each}>(args, {place})" for place, each in enumerate(types))
        binding = loader.suffix_template.format(
            arg_len=len(types),
            call_entry_func=loader.call_entry_function.format(arguments),
            entry_func=loader.entry_function,
            extra_parse_arg=loader.extra_parse_arg,
        )
        name = loader.entry_function
        parts.append(
            f"#define kernel {name}\nnamespace {name}_alone {{\n{kernel.source}\n{binding}\n}}\n#undef kernel"
        )
    text = "\n".join(parts)
    included = dict.fromkeys(line.strip() for line in _INCLUDE.findall(text))  # outside of any namespace
    return "\n".join(["#define PY_SSIZE_T_CLEAN", *included, _INCLUDE.sub("", text)])


_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include\b.*$", re.MULTILINE)

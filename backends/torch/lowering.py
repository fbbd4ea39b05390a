"""A program for PyTorch before it runs: the graph that ``make_fx`` traced, its costs, and inductor's code for it.

Inductor tells neither operations nor memory. So operations are those that ``torch.utils.flop_counter`` knows
(products, convolutions, attention), bytes are what each operation of the graph reads and writes, and the peak is
that of the graph in its own order: upper bounds, since inductor fuses operations and never stores many of the values.
"""

from __future__ import annotations

import importlib
import os
from unittest import mock

import torch
from torch._inductor.runtime.cache_dir_utils import default_cache_dir
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
        Interpreter(graph).run(*fakes)
    moved = 0
    for node in graph.graph.nodes:
        if node.op == "call_function" and not _is_alias(node):
            moved += _size(node) + sum(_size(operand) for operand in node.all_input_nodes)
    return {"flops": float(counter.get_total_flops()), "bytes accessed": float(moved)}


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

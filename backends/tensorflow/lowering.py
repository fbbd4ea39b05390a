"""A program for TensorFlow before it runs: its graph, XLA's text for it, and costs that are read out of that text.

TensorFlow hands out XLA's programs as text and nothing that XLA knows of them. So operations are counted in the
program as TensorFlow wrote it (two for each product of a dot or a convolution, one for each other element computed),
and bytes and the peak in the optimised program: what each step reads and writes, and what is alive at once in XLA's
own order of the steps. XLA's buffers may overlap better, or leave holes.
"""

from __future__ import annotations

import math
import re

import tensorflow as tf

from unified.backends.protocol import Step, errors, peak
from unified.backends.tensorflow.autograd import XLA_REFUSES


class Lowering:
    """Satisfies ``protocol.Lowering``."""

    def __init__(self, traced, specs, build) -> None:
        self._traced, self._specs, self._build = traced, specs, build

    def text(self, stage):
        program = Text(self._traced, self._specs)
        if stage == "graph":
            return program.graph()
        return program.hlo("hlo" if stage == "lowered" else "optimized_hlo")

    def compile(self):
        return self._build()


class Text:
    """What XLA makes of a ``tf.function`` that has been traced with these specs, as text."""

    def __init__(self, traced, specs) -> None:
        self._traced, self._specs = traced, specs

    def graph(self):
        return str(self._traced.get_concrete_function(*self._specs).graph.as_graph_def())

    def hlo(self, stage):
        try:
            return self._traced.experimental_get_compiler_ir(*self._specs)(stage)
        except (*XLA_REFUSES, tf.errors.InternalError, ValueError) as error:
            raise errors.CompileError(
                "XLA lacks an op of this function, which therefore runs as a plain graph: "
                f"{str(error).splitlines()[0]}"
            ) from error

    def cost(self):
        computations = parse(self.hlo("hlo"))
        flops = sum(_flops(step, steps) for _, steps in computations.values() for step in steps.values())
        _, steps = _entry(parse(self.hlo("optimized_hlo")))
        moved = sum(
            step.size + sum(steps[name].size for name in step.operands)
            for step in steps.values()
            if step.opcode not in _ALIASES and step.opcode not in _FREE
        )
        return {"flops": float(flops), "bytes accessed": float(moved)}

    def memory(self):
        root, steps = _entry(parse(self.hlo("optimized_hlo")))
        places = {name: place for place, name in enumerate(steps)}
        ordered = [
            Step(step.size, [places[name] for name in step.operands], step.opcode in _ALIASES)
            for step in steps.values()
        ]
        arguments = [places[name] for name, step in steps.items() if step.opcode == "parameter"]
        most = peak(ordered, arguments, [places[root]])
        sizes = {"arguments": sum(ordered[place].size for place in arguments), "outputs": steps[root].whole}
        return {**sizes, "temporary": max(most - sum(sizes.values()), 0), "peak": most}


_ALIASES = {"bitcast", "get-tuple-element", "tuple", "optimization-barrier", "reshape"}
_FREE = {"parameter", "constant"}
_MOVES = {"convert", "transpose", "broadcast", "copy", "slice", "concatenate", "pad", "iota", "reverse"}
_MOVES |= {
    "gather",
    "scatter",
    "dynamic-slice",
    "dynamic-update-slice",
    "fusion",
    "call",
    "while",
    "conditional",
    "custom-call",
}

_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_LINE = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([a-z][\w\-]*)\((.*)$")
_ARRAY = re.compile(r"(pred|bf16|[suf]\d+|f8\w+|c64|c128)\[([\d,]*)\]")
_NAME = re.compile(r"%([\w.\-]+)")


class Instruction:
    """One line of HLO."""

    def __init__(self, kind, opcode, rest) -> None:
        self.opcode = opcode
        self.shapes = [[int(d) for d in dims.split(",") if d] for _, dims in _ARRAY.findall(kind)]
        self.whole = sum(
            _bytes(name) * math.prod(shape)
            for (name, _), shape in zip(_ARRAY.findall(kind), self.shapes, strict=True)
        )
        self.size = 0 if opcode in _ALIASES else self.whole
        end = _closing(rest)
        self.operands = _NAME.findall(rest[:end])
        self.attributes = rest[end:]


def _closing(rest):
    """Where the parenthesis closes that was opened before ``rest``."""
    depth = 1
    for place, letter in enumerate(rest):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return place
    return len(rest)


def _bytes(name):
    if name == "pred":
        return 1
    bits = {"c64": 64, "c128": 128}.get(name) or (8 if name.startswith("f8") else int(re.sub(r"\D", "", name)))
    return max(bits // 8, 1)


def parse(text):
    """Computations by name, each as (whether it is the entry's root, its instructions by name)."""
    computations, current = {}, None
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header is not None:
            current = {}
            computations[header[2]] = [None if header[1] is None else "", current]
            continue
        found = _LINE.match(line)
        if found is None or current is None:
            continue
        root, name, kind, opcode, rest = found.groups()
        current[name] = Instruction(kind, opcode, rest)
        if root and computations[next(reversed(computations))][0] is not None:
            computations[next(reversed(computations))][0] = name
    return computations


def _entry(computations):
    return next((root, steps) for root, steps in computations.values() if root is not None)


def _flops(step, steps):
    if step.opcode in _MOVES | _ALIASES | _FREE or not step.shapes:
        return 0
    elements = math.prod(step.shapes[0])
    if step.opcode == "dot":
        left = steps[step.operands[0]].shapes[0]
        contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", step.attributes)
        dims = [int(d) for d in contracted[1].split(",") if d] if contracted else []
        return 2 * elements * math.prod(left[d] for d in dims)
    if step.opcode == "convolution":
        kernel = steps[step.operands[1]].shapes[0]
        labels = re.search(r"dim_labels=\w+_(\w+)->", step.attributes)
        features = kernel[labels[1].index("o")] if labels else 1
        return 2 * elements * math.prod(kernel) // max(features, 1)
    if step.opcode in ("reduce", "reduce-window"):
        return math.prod(steps[step.operands[0]].shapes[0])
    return elements

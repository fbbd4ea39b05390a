"""A picture of a Model's graph."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from unified.errors import ArgumentError, MissingToolError, OperandError
from unified.nn.functional_model import Model

_WAY_OUT = "print it with model.summary(), or install it: pip install graphviz, and Graphviz itself from graphviz.org"


def plot_model(model: Model, path: str | Path = "model.png", *, show_shapes: bool = True) -> Path:
    """Draws the calls of a :class:`unified.Model` as a graph, inputs at the top; returns where.

    Args:
        model: the Model.
        path: the file; its suffix says the format, as ``.png``, ``.svg`` or ``.pdf``.
        show_shapes: whether the shapes of results are shown.

    Raises:
        OperandError: ``model`` is no Model.
        ArgumentError: ``path`` has no suffix.
        MissingToolError: the package ``graphviz``, or the program ``dot`` that it calls, is not installed.
    """
    if not isinstance(model, Model):
        raise OperandError(f"plot_model: takes a un.Model, not {type(model).__name__}, whose calls are not recorded")
    target = Path(path)
    if not target.suffix:
        raise ArgumentError(f"plot_model: {target} needs a suffix that says the format, such as .png")
    try:
        graphviz: Any = importlib.import_module("graphviz")
    except ImportError as error:
        raise MissingToolError(f"plot_model: the Python package graphviz is not installed; {_WAY_OUT}") from error
    graph = graphviz.Digraph(node_attr={"shape": "box"})
    for call in model.calls():
        shapes = [", ".join(str(aval.shape) for aval in call.results)] if show_shapes else []
        graph.node(call.name, "\n".join([call.name, call.kind, *shapes]))
        for source in call.sources:
            graph.edge(source, call.name)
    try:
        drawn: bytes = graph.pipe(format=target.suffix[1:])
    except graphviz.ExecutableNotFound as error:
        raise MissingToolError(f"plot_model: Graphviz's program dot is not installed; {_WAY_OUT}") from error
    target.write_bytes(drawn)
    return target

"""Which ops of the table have their derivatives checked: those on the tape of a sample that gradcheck is given."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import unified as un
from tests.conformance import checks, database, gradchecks, spelling
from unified._tape import Call


def recorded(tensors: Iterable[un.Tensor]) -> set[str]:
    """Names of the ops in the graph that leads to the Tensors, on a backend with a tape."""
    seen = {id(t._node): t._node for t in tensors if t._node is not None}
    waiting, found = list(seen.values()), set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, Call):
            found.add(node.op.name)
        for parent, _ in node.parents:
            if id(parent) not in seen:
                seen[id(parent)] = parent
                waiting.append(parent)
    return found


def of_database(names: Iterable[str]) -> dict[str, set[str]]:
    """For each name of the op database the ops that its samples record."""
    found: dict[str, set[str]] = {}
    for name in names:
        ops: set[str] = set()
        for info in database.entries()[name]:
            dtype = gradchecks.first_dtype(info)
            if dtype is None:
                continue
            try:
                ours = spelling.ours(info)
            except spelling.NotThereError:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for sample in gradchecks.samples(info, dtype, 0, 1):
                    func, inputs = gradchecks.program(info, ours, sample, dtype, checks.where_valid)
                    ops |= recorded(func(*inputs))
        found[name] = ops
    return found

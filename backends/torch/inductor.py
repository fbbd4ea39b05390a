"""From a graph that ``make_fx`` traced to a program: inductor's, with the updates of parameters beside it.

The graph has no autograd left in it and its shapes are fixed, so it goes to inductor without Dynamo in front, which
would trace it once more and check every argument at every call. An optimiser's fused kernel works in place and on all
parameters at once; inductor would compile it once a parameter. So it is cut off the graph's end, and runs after it.
"""

from __future__ import annotations

import copy
import operator
from typing import NamedTuple

import torch

from unified.backends.torch.optim import UPDATE, update_in_place


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
    with torch.no_grad():
        run = torch._inductor.compile(graph, examples)

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

"""Control flow as PyTorch's higher-order ops, which ``make_fx`` records and inductor compiles.

They are used forward alone: the front end writes derivatives as constructs of the same kind. A section is traced
beforehand, since autograd, which such derivatives use within, does not record below a dispatched higher-order op. And
no result of a section may share memory with an operand; hence the copies.
"""

from __future__ import annotations

import torch
from torch._higher_order_ops.cond import cond_op
from torch._higher_order_ops.scan import scan_op
from torch._higher_order_ops.while_loop import while_loop_op
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing

from unified.backends.torch.compile import trace


class TorchControlFlow:
    """Satisfies ``protocol.ControlFlow``."""

    def switch(self, index, branches, operands):
        if len(branches) == 1:
            return branches[0](list(operands))
        if index.dtype is not torch.bool:  # there is no switch: the first branch, or one of the others
            first, *others = branches
            return self.switch(
                index > 0,
                (lambda given: first(given[1:]), lambda given: self.switch(given[0] - 1, others, given[1:])),
                [index, *operands],
            )
        taken = [_traced(branch, operands) for branch in branches]
        return _apart(cond_op(index, taken[1], taken[0], tuple(operands)))

    def while_loop(self, condition, body, carry, constants):
        operands = [*carry, *constants]
        goes_on, advance = _traced(condition, operands), _traced(body, operands)
        loop = while_loop_op(lambda *given: goes_on(*given)[0], advance, tuple(_own(carry)), tuple(constants))
        return _apart(loop)

    def scan(self, body, carry, xs, constants, length, reverse):
        count = len(carry)
        step = _traced(body, [*carry, *[x[0] for x in xs], *constants])
        if _results(step) == count:
            return self._counted(step, carry, xs, constants, length, reverse), []
        given = [x.flip(0) if reverse else x for x in xs] or [torch.arange(length)]

        def padded(*operands):
            carried, rest = operands[: count or 1], operands[count or 1 :]
            results = step(*carried[:count], *(rest if xs else rest[1:]))
            return results if count else [carried[0].clone(), *results]

        start = _own(carry) if count else [torch.zeros((), dtype=torch.int32)]
        results = _apart(scan_op(padded, start, given, tuple(constants)))
        stacked = results[count or 1 :]
        return results[:count], [y.flip(0) for y in stacked] if reverse else stacked

    def _counted(self, step, carry, xs, constants, length, reverse):
        """A scan that stacks nothing: as a while loop, because inductor refuses such a scan within another."""
        if not carry:
            return []
        count = len(carry) + 1

        def advance(trip, *operands):
            given, rest = operands[: len(carry)], operands[len(carry) :]
            place = (length - 1 - trip if reverse else trip).reshape(1)
            slices = [torch.index_select(x, 0, place).squeeze(0) for x in rest[: len(xs)]]
            return (trip + 1, *step(*given, *slices, *rest[len(xs) :]))

        start = (torch.zeros((), dtype=torch.int64), *_own(carry))
        results = while_loop_op(lambda trip, *_: trip < length, advance, start, (*xs, *constants))
        return _apart(results[1:count])


def _results(graph):
    """How many results a traced section has."""
    (output,) = graph.graph.find_nodes(op="output")
    return len(output.args[0])


def _traced(section, natives):
    """The graph of a section at these shapes, its results copies."""
    with disable_proxy_modes_tracing():
        return trace(lambda given: _own(section(given)), natives)


def _apart(results):
    """Results of a higher-order op as tensors of their own: in a trace they are those that the section's graph keeps
    as examples, and autograd would write into them, and the graph keep what is behind them."""
    return [result.detach() for result in results]


def _own(natives):
    """Dense copies."""
    return [native.clone(memory_format=torch.contiguous_format) for native in natives]

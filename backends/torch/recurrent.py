"""Recurrent layers on PyTorch: its own kernels, which no program may unroll.

PyTorch writes a traced layer out step by step, and inductor would compile every step; it takes oneDNN's kernel for
an LSTM whole, but for inference only. So a layer is an opaque op in a program, its derivative another; both run the
eager kernels. What autograd recorded of the forward pass waits for the derivative on a ticket, a tensor that
the one returns and the other takes, and dies with it. Inductor cannot see it there, and writes to memory that no op
reads later; so whatever was recorded is also a result of the one and an operand of the other. An LSTM that oneDNN
computes does without autograd: 5% of a training step. Where there is no kernel, within the levels of ``unified.func``
and under a derivative that is differentiated in a program, the layer is written out here.
"""

from __future__ import annotations

import contextlib

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._subclasses.fake_tensor import FakeTensor

from unified.backends.protocol import Natives, by_direction

natives = Natives()
natives(
    gru_cell=torch.gru_cell, rnn_tanh_cell=torch.rnn_tanh_cell, rnn_relu_cell=torch.rnn_relu_cell,
    lstm_cell=torch.lstm_cell,
)  # fmt: skip

_KERNELS = {"lstm": torch.lstm, "gru": torch.gru, "rnn_tanh": torch.rnn_tanh, "rnn_relu": torch.rnn_relu}


@natives
def recurrent_layer(input, hx, weights, batch_sizes, mode, bidirectional):
    if any(is_functorch_wrapped_tensor(operand) for operand in (input, *hx, *weights)):
        return _written_out(input, hx, weights, batch_sizes, mode, bidirectional)
    if isinstance(input, FakeTensor):
        records = torch.is_grad_enabled() and any(each.requires_grad for each in (input, *hx, *weights))
        results = torch.ops.unified.recurrent_layer(input, hx, weights, batch_sizes, mode, bidirectional, records)
        return results[: 1 + len(hx)]
    return _run(input, hx, weights, batch_sizes, mode, bidirectional)


def _run(input, hx, weights, batch_sizes, mode, bidirectional):
    state = hx if mode == "lstm" else hx[0]
    biases = len(weights) // (1 + bidirectional) >= 4
    options = (weights, biases, 1, 0.0, torch.is_grad_enabled(), bidirectional)
    if batch_sizes is None:
        return _KERNELS[mode](input, state, *options, False)
    return _KERNELS[mode](input, batch_sizes.to("cpu", torch.int64), state, *options)


# ---- as ops of a program -----------------------------------------------------------------------------------------


@torch.library.custom_op("unified::recurrent_layer", mutates_args=())
def _opaque(
    input: Tensor,
    hx: list[Tensor],
    weights: list[Tensor],
    batch_sizes: Tensor | None,
    mode: str,
    bidirectional: bool,
    records: bool,
) -> list[Tensor]:
    if not records:
        return _apart(_run(input, hx, weights, batch_sizes, mode, bidirectional))
    kept, ticket = [_copy(each) for each in (input, *hx)], input.new_empty(1)
    if mode == "lstm" and batch_sizes is None and not bidirectional and _has_onednn(input, weights):
        with torch.enable_grad():  # without it there is no workspace
            *outputs, ticket.workspace = torch.ops.aten.mkldnn_rnn_layer.default(
                kept[0], *weights, kept[1][0], kept[2][0], False, [], *_onednn_sizes(hx), True, False, False, True
            )
        outputs = [outputs[0], *[each[None] for each in outputs[1:]]]
    else:
        ticket.recorded = outputs, _ = _record(kept, weights, batch_sizes, mode, bidirectional)
    return [*_apart(outputs), *kept, ticket]


@_opaque.register_fake
def _(input, hx, weights, batch_sizes, mode, bidirectional, records):
    features = hx[0].shape[-1] * (1 + bidirectional)
    results = [input.new_empty((*input.shape[:-1], features)), *[each.new_empty(each.shape) for each in hx]]
    kept = [each.new_empty(each.shape) for each in (input, *hx)]
    return [*results, *kept, input.new_empty(1)] if records else results


@torch.library.custom_op("unified::recurrent_layer_backward", mutates_args=())
def _opaque_backward(
    kept: list[Tensor],
    weights: list[Tensor],
    outputs: list[Tensor],
    batch_sizes: Tensor | None,
    mode: str,
    bidirectional: bool,
    cotangents: list[Tensor],
    ticket: Tensor,
) -> list[Tensor]:
    workspace, recorded = ticket.__dict__.pop("workspace", None), ticket.__dict__.pop("recorded", None)
    if workspace is not None:
        of_input, *of_weights, of_hidden, of_cell = torch.ops.aten.mkldnn_rnn_layer_backward.default(
            kept[0], *weights, kept[1][0], kept[2][0], outputs[0], outputs[1][0], outputs[2][0],
            cotangents[0], cotangents[1][0], cotangents[2][0],
            False, *_onednn_sizes(cotangents[1:]), True, True, False, [], False, workspace,
        )  # fmt: skip
        return [each.contiguous() for each in (of_input, of_hidden[None], of_cell[None], *of_weights)]
    if recorded is None or not _same_memory(recorded, outputs, [*kept, *weights]):
        recorded = _record(kept, weights, batch_sizes, mode, bidirectional)  # a second backward pass through it
    with _recording():
        return [each.contiguous() for each in torch.autograd.grad(*recorded, cotangents)]


@_opaque_backward.register_fake
def _(kept, weights, outputs, batch_sizes, mode, bidirectional, cotangents, ticket):
    return [each.new_empty(each.shape) for each in (*kept, *weights)]


def _has_onednn(input, weights):
    """Whether PyTorch takes oneDNN's kernels for an LSTM of these, which can be called past its autograd."""
    return (
        len(weights) == 4  # biases, and no projection
        and input.device.type == "cpu"
        and input.dtype is torch.float32
        and input.numel() > 0
        and torch.backends.mkldnn.is_available()
        and torch._C._get_mkldnn_enabled()
    )


def _onednn_sizes(hx):
    """The number that oneDNN has for an LSTM, the features of its state, and the layers."""
    return 2, hx[0].shape[-1], 1


@contextlib.contextmanager
def _recording():
    """Autograd, which PyTorch switches off within an op."""
    autograd = torch._C.DispatchKey.AutogradFunctionality
    with torch._C._SetExcludeDispatchKeyGuard(autograd, False), torch.enable_grad():
        yield


def _record(kept, weights, *options):
    """The layer's outputs, and the leaves that they were recorded from."""
    with _recording():
        operands = [each.detach().requires_grad_() for each in (*kept, *weights)]
        return _layer(_run, operands, len(kept) - 1, *options), operands


def _copy(tensor):
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def _apart(outputs):
    """As the fake op has them: contiguous, and each in memory of its own."""
    storages = set()
    apart = []
    for output in outputs:
        own = output.is_contiguous() and output.untyped_storage().data_ptr() not in storages
        apart.append(output.detach() if own else _copy(output))
        storages.add(apart[-1].untyped_storage().data_ptr())
    return apart


def _same_memory(recorded, outputs, operands):
    """Whether what was recorded still has its values.

    A program writes to memory from which nobody reads any more. It passes what it reads to the derivative; what it
    passes from another place has been computed twice, and the first may be gone.
    """
    pairs = [*zip(recorded[0], outputs, strict=True), *zip(recorded[1], operands, strict=True)]
    return all(before.data_ptr() == now.data_ptr() for before, now in pairs)


def _layer(run, operands, states, batch_sizes, mode, bidirectional):
    return run(operands[0], operands[1 : 1 + states], operands[1 + states :], batch_sizes, mode, bidirectional)


def _save(ctx, inputs, output):
    input, hx, weights, batch_sizes, ctx.mode, ctx.bidirectional, _ = inputs
    ctx.count = len(hx)
    ctx.save_for_backward(batch_sizes, *output, input, *hx, *weights)


def _pull(ctx, cotangents):
    states, (batch_sizes, *saved) = ctx.count, ctx.saved_tensors
    outputs, kept, ticket, operands = _cut(saved, 1 + states, 1 + states, 1)
    options, cotangents = (batch_sizes, ctx.mode, ctx.bidirectional), cotangents[: 1 + states]
    if torch.is_grad_enabled():
        operands = [each if each.requires_grad else each.detach().requires_grad_() for each in operands]
        outputs = _layer(_written_out, operands, states, *options)
        gradients = torch.autograd.grad(outputs, operands, cotangents, create_graph=True)
    else:
        weights = operands[1 + states :]
        gradients = torch.ops.unified.recurrent_layer_backward(kept, weights, outputs, *options, cotangents, *ticket)
    return gradients[0], list(gradients[1 : 1 + states]), list(gradients[1 + states :]), None, None, None, None


def _cut(items, *counts):
    """``items`` in pieces of so many, and the rest."""
    pieces = []
    for count in counts:
        pieces.append(items[:count])
        items = items[count:]
    return [*pieces, items]


_opaque.register_autograd(_pull, setup_context=_save)


# ---- step by step ------------------------------------------------------------------------------------------------


def _lstm(from_input, from_hidden, hidden, cell):
    kept, forgotten, new, shown = (from_input + from_hidden).chunk(4, -1)
    cell = forgotten.sigmoid() * cell + kept.sigmoid() * new.tanh()
    return shown.sigmoid() * cell.tanh(), cell


def _gru(from_input, from_hidden, hidden):
    reset, update, new = from_input.chunk(3, -1)
    reset_hidden, update_hidden, new_hidden = from_hidden.chunk(3, -1)
    new = (new + (reset + reset_hidden).sigmoid() * new_hidden).tanh()
    return (new + (update + update_hidden).sigmoid() * (hidden - new),)


def _rnn_tanh(from_input, from_hidden, hidden):
    return ((from_input + from_hidden).tanh(),)


def _rnn_relu(from_input, from_hidden, hidden):
    return ((from_input + from_hidden).relu(),)


_CELLS = {"lstm": _lstm, "gru": _gru, "rnn_tanh": _rnn_tanh, "rnn_relu": _rnn_relu}


def _places(batch_sizes, length, batch):
    """Of packed rows: which of them step t of sequence n is, whether there is such a step, and its t and n by row."""
    ends = batch_sizes.long().cumsum(0)
    starts = ends - batch_sizes
    column = torch.arange(batch, device=batch_sizes.device)
    alive = column < batch_sizes[:, None]
    rows = torch.where(alive, starts[:, None] + column, 0)
    packed = torch.arange(length, device=batch_sizes.device)
    steps = (packed[:, None] >= ends).sum(-1)
    return rows, alive[..., None], steps, packed - starts[steps]


def _written_out(input, hx, weights, batch_sizes, mode, bidirectional):
    alive = None
    if batch_sizes is not None:
        rows, alive, steps, columns = _places(batch_sizes, input.shape[0], hx[0].shape[1])
    outputs, states = [], []
    for direction, weight, bias, (hidden_weight, hidden_bias, projection) in by_direction(weights, bidirectional):
        projected = F.linear(input, weight, bias)
        projected = projected if alive is None else projected[rows]
        state = tuple(member[direction] for member in hx)
        shown = [None] * len(projected)
        for t in reversed(range(len(shown))) if direction else range(len(shown)):
            new, *rest = _CELLS[mode](projected[t], F.linear(state[0], hidden_weight, hidden_bias), *state)
            following = (new if projection is None else F.linear(new, projection), *rest)
            if alive is not None:
                following = [torch.where(alive[t], new, old) for new, old in zip(following, state, strict=True)]
            state = following
            shown[t] = state[0]
        output = torch.stack(shown)
        outputs.append(output if alive is None else output[steps, columns])
        states.append(state)
    return torch.cat(outputs, -1), *[torch.stack(members) for members in zip(*states, strict=True)]

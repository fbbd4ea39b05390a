"""Recurrent layers on PyTorch: its own kernels, which no program may unroll.

While a program is traced, PyTorch would write a layer out step by step, and inductor would compile every one of them:
a GRU of 32 steps takes a minute. A layer is therefore one node of the program that runs the eager kernels: oneDNN's
for an LSTM on the CPU, which has a derivative of its own, and else an opaque op whose derivative is another.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._subclasses.fake_tensor import FakeTensor

from unified.backends.protocol import Natives

natives = Natives()
natives(
    lstm_cell=torch.lstm_cell, gru_cell=torch.gru_cell, rnn_tanh_cell=torch.rnn_tanh_cell,
    rnn_relu_cell=torch.rnn_relu_cell,
)  # fmt: skip

_KERNELS = {"lstm": torch.lstm, "gru": torch.gru, "rnn_tanh": torch.rnn_tanh, "rnn_relu": torch.rnn_relu}


@natives
def recurrent_layer(input, hx, weights, batch_sizes, mode, bidirectional):
    if any(is_functorch_wrapped_tensor(operand) for operand in (input, *hx, *weights)):
        with torch.backends.mkldnn.flags(enabled=False):  # oneDNN's kernel knows no levels
            return _run(input, hx, weights, batch_sizes, mode, bidirectional)
    if isinstance(input, FakeTensor) and not _is_one_kernel(input, weights, batch_sizes, mode, bidirectional):
        return torch.ops.unified.recurrent_layer(input, hx, weights, batch_sizes, mode, bidirectional)
    return _run(input, hx, weights, batch_sizes, mode, bidirectional)


def _run(input, hx, weights, batch_sizes, mode, bidirectional):
    state = hx if mode == "lstm" else hx[0]
    biases = len(weights) // (1 + bidirectional) >= 4
    options = (weights, biases, 1, 0.0, torch.is_grad_enabled(), bidirectional)
    if batch_sizes is None:
        return _KERNELS[mode](input, state, *options, False)
    return _KERNELS[mode](input, batch_sizes.to("cpu", torch.int64), state, *options)


def _is_one_kernel(input, weights, batch_sizes, mode, bidirectional):
    """Whether PyTorch itself has one op for the layer, with a derivative."""
    projected = len(weights) // (1 + bidirectional) in (3, 5)
    dense = batch_sizes is None and not projected and input.numel() > 0
    on_cpu = input.device.type == "cpu" and torch.backends.mkldnn.is_available()
    return mode == "lstm" and dense and on_cpu and input.dtype is torch.float32


@torch.library.custom_op("unified::recurrent_layer", mutates_args=())
def _opaque(
    input: Tensor,
    hx: list[Tensor],
    weights: list[Tensor],
    batch_sizes: Tensor | None,
    mode: str,
    bidirectional: bool,
) -> list[Tensor]:
    return [each.clone() for each in _run(input, hx, weights, batch_sizes, mode, bidirectional)]


@_opaque.register_fake
def _(input, hx, weights, batch_sizes, mode, bidirectional):
    features = hx[0].shape[-1] * (1 + bidirectional)
    return [input.new_empty((*input.shape[:-1], features)), *[torch.empty_like(each) for each in hx]]


@torch.library.custom_op("unified::recurrent_layer_backward", mutates_args=())
def _opaque_backward(
    input: Tensor,
    hx: list[Tensor],
    weights: list[Tensor],
    batch_sizes: Tensor | None,
    mode: str,
    bidirectional: bool,
    cotangents: list[Tensor],
) -> list[Tensor]:
    with torch.enable_grad():
        operands = [each.detach().requires_grad_() for each in (input, *hx, *weights)]
        states, matrices = operands[1 : 1 + len(hx)], operands[1 + len(hx) :]
        outputs = _run(operands[0], states, matrices, batch_sizes, mode, bidirectional)
    return list(torch.autograd.grad(outputs, operands, cotangents))


@_opaque_backward.register_fake
def _(input, hx, weights, batch_sizes, mode, bidirectional, cotangents):
    return [torch.empty_like(each) for each in (input, *hx, *weights)]


def _save(ctx, inputs, output):
    input, hx, weights, batch_sizes, ctx.mode, ctx.bidirectional = inputs
    ctx.count = len(hx)
    ctx.save_for_backward(batch_sizes, input, *hx, *weights)


def _pull(ctx, cotangents):
    batch_sizes, input, *rest = ctx.saved_tensors
    hx, weights = rest[: ctx.count], rest[ctx.count :]
    gradients = torch.ops.unified.recurrent_layer_backward(
        input, hx, weights, batch_sizes, ctx.mode, ctx.bidirectional, cotangents
    )
    of_states, of_weights = gradients[1 : 1 + ctx.count], gradients[1 + ctx.count :]
    return gradients[0], of_states, of_weights, None, None, None


_opaque.register_autograd(_pull, setup_context=_save)

"""Recurrent ops: one layer over all steps, and one step of one cell. Gates and biases are PyTorch's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unified._dispatch import composite, op
from unified._tensor import Tensor
from unified.errors import ShapeError
from unified.nn.functional.activation import relu
from unified.nn.functional.linear import linear
from unified.ops import _checks as base
from unified.ops.elementwise import sigmoid, tanh


def _layer(
    input: Any, hx: Any, weights: Any, batch_sizes: Any = None, mode: str = "", bidirectional: bool = False
) -> None:
    """All operands have one dtype, and there is a step to take."""
    named = {f"hx[{i}]": each for i, each in enumerate(hx)} | {
        f"weights[{i}]": each for i, each in enumerate(weights)
    }
    base.same_dtype(input=input, **named)
    if len(input.shape) != (3 if batch_sizes is None else 2):
        raise ShapeError(f"input {tuple(input.shape)} must have 3 dimensions, or 2 where it is packed")
    if input.shape[0] == 0:
        raise ShapeError(f"input {tuple(input.shape)} must have at least one step")
    if input.shape[-1] != weights[0].shape[1]:
        raise ShapeError(f"input {tuple(input.shape)} does not fit weight {tuple(weights[0].shape)}")
    batch = hx[0].shape[1] if batch_sizes is not None else input.shape[1]
    if tuple(hx[0].shape) != (1 + bidirectional, batch, weights[1].shape[1]):
        raise ShapeError(f"hx {tuple(hx[0].shape)} does not fit input {tuple(input.shape)}")


@op(check=_layer)
def recurrent_layer(
    input: Tensor,
    hx: Sequence[Tensor],
    weights: Sequence[Tensor],
    batch_sizes: Tensor | None,
    mode: str,
    bidirectional: bool,
) -> tuple[Tensor, ...]:
    """One layer over all steps, in one direction or both.

    Args:
        input: ``(L, N, in)``, or packed ``(sum of lengths, in)``.
        hx: the first states, ``(directions, N, out)``; of an LSTM also the cells, ``(directions, N, hidden)``.
        weights: for each direction the matrices from input and from hidden, then, where there are any, the two biases
            and the projection of the hidden state.
        batch_sizes: of a packed input, int ``(L,)``: how many sequences have each step.
        mode: ``"lstm"``, ``"gru"``, ``"rnn_tanh"`` or ``"rnn_relu"``.

    Returns:
        ``(L, N, directions * out)`` or packed, and the last states, shaped as ``hx``.
    """


def _cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> None:
    states = hx if isinstance(hx, list) else [hx]
    base.linear(input, w_ih, b_ih)
    for state in states:
        base.linear(state, w_hh, b_hh)
        if tuple(state.shape[:-1]) != tuple(input.shape[:-1]):
            raise ShapeError(f"hx {tuple(state.shape)} must have as many rows as input {tuple(input.shape)}")


@composite(check=_cell)
def lstm_cell(
    input: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """The next hidden state and cell of an LSTM; Hochreiter and Schmidhuber (1997), gates in the order i, f, g, o."""
    hidden, cell = hx
    kept, forgotten, new, shown = (linear(input, w_ih, b_ih) + linear(hidden, w_hh, b_hh)).chunk(4, -1)
    cell = sigmoid(forgotten) * cell + sigmoid(kept) * tanh(new)
    return sigmoid(shown) * tanh(cell), cell


@composite(check=_cell)
def gru_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """The next hidden state of a GRU; Cho et al. (2014), gates in the order r, z, n, r applied after the product."""
    reset, update, new = linear(input, w_ih, b_ih).chunk(3, -1)
    reset_hidden, update_hidden, new_hidden = linear(hx, w_hh, b_hh).chunk(3, -1)
    new = tanh(new + sigmoid(reset + reset_hidden) * new_hidden)
    following: Tensor = new + sigmoid(update + update_hidden) * (hx - new)
    return following


@composite(check=_cell)
def rnn_tanh_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """``tanh(w_ih @ input + b_ih + w_hh @ hx + b_hh)``; Elman (1990)."""
    return tanh(linear(input, w_ih, b_ih) + linear(hx, w_hh, b_hh))


@composite(check=_cell)
def rnn_relu_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """As :func:`rnn_tanh_cell`, with relu; Le et al. (2015)."""
    return relu(linear(input, w_ih, b_ih) + linear(hx, w_hh, b_hh))

"""Recurrent layers on JAX: one product for the inputs of all steps, then ``lax.scan`` over time.

JAX's own derivative of the scan is kept but for a dense LSTM, whose derivative starts from the states of all steps. A
program that has both then runs the loop forward once, and the products for the weights' gradient are out of the loop.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from unified.backends.protocol import Natives, by_direction

natives = Natives()


def _lstm(from_input, from_hidden, hidden, cell):
    kept, forgotten, new, shown = jnp.split(from_input + from_hidden, 4, -1)
    cell = jax.nn.sigmoid(forgotten) * cell + jax.nn.sigmoid(kept) * jnp.tanh(new)
    return jax.nn.sigmoid(shown) * jnp.tanh(cell), cell


def _gru(from_input, from_hidden, hidden):
    reset, update, new = jnp.split(from_input, 3, -1)
    reset_hidden, update_hidden, new_hidden = jnp.split(from_hidden, 3, -1)
    new = jnp.tanh(new + jax.nn.sigmoid(reset + reset_hidden) * new_hidden)
    return (new + jax.nn.sigmoid(update + update_hidden) * (hidden - new),)


def _rnn_tanh(from_input, from_hidden, hidden):
    return (jnp.tanh(from_input + from_hidden),)


def _rnn_relu(from_input, from_hidden, hidden):
    return (jax.nn.relu(from_input + from_hidden),)


_CELLS = {"lstm": _lstm, "gru": _gru, "rnn_tanh": _rnn_tanh, "rnn_relu": _rnn_relu}


def _affine(rows, weight, bias):
    """``rows @ weight.T + bias`` as one flat product, which XLA on the CPU is fastest with."""
    flat = jax.lax.dot_general(rows.reshape(-1, rows.shape[-1]), weight, (((1,), (1,)), ((), ())))
    flat = flat if bias is None else flat + bias
    return flat.reshape(*rows.shape[:-1], weight.shape[0])


def _lstm_over_time(projected, state, weight, bias):
    """As :func:`_over_time` of an LSTM, by the loop that its derivative has too: XLA makes one of the two."""
    (outputs, _), last = _lstm_states(projected, state, weight, bias)
    return outputs, last


def _lstm_states(projected, state, weight, bias):
    """Hidden states and cells of all steps, and the last ones."""

    def step(state, from_input):
        following = _lstm(from_input, _affine(state[0], weight, bias), *state)
        return following, following

    last, every = jax.lax.scan(step, state, projected)
    return every, last


def _lstm_forward(projected, state, weight, bias):
    every, last = _lstm_states(projected, state, weight, bias)
    return (every[0], last), (projected, state, weight, bias, every)


def _lstm_backward(kept, cotangents):
    """The gates of all steps in one product, a loop back over what depends on the step after, and one product."""
    projected, state, weight, bias, every = kept
    of_outputs, of_last = cotangents
    before, cells_before = (
        jnp.concatenate([first[None], each[:-1]]) for first, each in zip(state, every, strict=True)
    )
    kept, forgotten, new, shown = jnp.split(projected + _affine(before, weight, bias), 4, -1)
    kept, forgotten, shown = (jax.nn.sigmoid(each) for each in (kept, forgotten, shown))
    new, squashed = jnp.tanh(new), jnp.tanh(every[1])
    slopes = jnp.concatenate(
        [
            new * kept * (1 - kept),
            cells_before * forgotten * (1 - forgotten),
            kept * (1 - new * new),
            squashed * shown * (1 - shown),
        ],
        -1,
    )
    by_cell = shown * (1 - squashed * squashed)

    def step(arriving, now):
        of_hidden, of_cell = arriving
        of_output, slopes, by_cell, forgotten = now
        of_hidden = of_hidden + of_output
        of_cell = of_cell + of_hidden * by_cell
        of_gates = slopes * jnp.concatenate([of_cell, of_cell, of_cell, of_hidden], -1)
        return (of_gates @ weight, of_cell * forgotten), of_gates

    of_state, of_gates = jax.lax.scan(step, of_last, (of_outputs, slopes, by_cell, forgotten), reverse=True)
    rows = of_gates.reshape(-1, of_gates.shape[-1])
    of_weight = jax.lax.dot_general(rows, before.reshape(-1, before.shape[-1]), (((0,), (0,)), ((), ())))
    return of_gates, of_state, of_weight, None if bias is None else rows.sum(0)


_lstm_for_pullback = jax.custom_vjp(_lstm_over_time)
_lstm_for_pullback.defvjp(_lstm_forward, _lstm_backward)


def _over_time(cell, projected, state, hidden, alive, reverse):
    """All outputs and the last state; a sequence that is over, by ``alive``, keeps its state."""
    weight, bias, projection = hidden

    def step(state, now):
        from_input, lives = now
        new, *rest = cell(from_input, _affine(state[0], weight, bias), *state)
        new = new if projection is None else _affine(new, projection, None)
        following = (new, *rest)
        if lives is not None:
            following = tuple(jnp.where(lives, after, before) for after, before in zip(following, state, strict=True))
        return following, following[0]

    last, outputs = jax.lax.scan(step, state, (projected, alive), reverse=reverse)
    return outputs, last


def _places(batch_sizes, length, batch):
    """Of packed rows: which of them step t of sequence n is, whether there is such a step, and its t and n by row."""
    ends = jnp.cumsum(batch_sizes)
    starts = ends - batch_sizes
    column = jnp.arange(batch)
    alive = column < batch_sizes[:, None]
    rows = jnp.where(alive, starts[:, None] + column, 0)
    packed = jnp.arange(length)
    steps = jnp.sum(packed[:, None] >= ends, -1)
    return rows, alive[..., None], steps, packed - starts[steps]


@natives
def recurrent_layer(input, hx, weights, batch_sizes, mode, bidirectional):
    return _layer(_lstm_over_time, input, hx, weights, batch_sizes, mode, bidirectional)


def _layer(lstm, input, hx, weights, batch_sizes, mode, bidirectional):
    alive = None
    if batch_sizes is not None:
        rows, alive, steps, columns = _places(batch_sizes, input.shape[0], hx[0].shape[1])
    outputs, states = [], []
    for direction, weight, bias, hidden in by_direction(weights, bidirectional):
        projected = _affine(input, weight, bias)
        if alive is not None:
            projected = projected[rows]
        state = tuple(member[direction] for member in hx)
        if mode == "lstm" and alive is None and hidden[2] is None:
            projected = jnp.flip(projected, 0) if direction else projected
            output, last = lstm(projected, state, *hidden[:2])
            output = jnp.flip(output, 0) if direction else output
        else:
            output, last = _over_time(_CELLS[mode], projected, state, hidden, alive, direction == 1)
        outputs.append(output if alive is None else output[steps, columns])
        states.append(last)
    return jnp.concatenate(outputs, -1), *[jnp.stack(members) for members in zip(*states, strict=True)]


recurrent_layer.for_pullback = functools.partial(_layer, _lstm_for_pullback)

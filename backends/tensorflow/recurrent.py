"""Recurrent layers on TensorFlow: one product for the inputs of all steps, then a loop over time.

TensorFlow's derivative of a loop stacks every value that a step computes. This one keeps the states alone, computes
the rest again for all steps at once, walks back with the cell differentiated by a tape, and takes the products for
the weights' gradient out of the loop. Where a program has both a layer and its pullback, which computes the layer
again, the states are those of the first.
"""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives, by_direction
from unified.backends.tensorflow.autograd import deriving

natives = Natives()


def _lstm(gates, state):
    kept, forgotten, new, shown = tf.split(gates[0], 4, -1)
    cell = tf.sigmoid(forgotten) * state[1] + tf.sigmoid(kept) * tf.tanh(new)
    return [tf.sigmoid(shown) * tf.tanh(cell), cell]


def _gru(gates, state):
    reset, update, new = tf.split(gates[0], 3, -1)
    reset_hidden, update_hidden, new_hidden = tf.split(gates[1], 3, -1)
    new = tf.tanh(new + tf.sigmoid(reset + reset_hidden) * new_hidden)
    return [new + tf.sigmoid(update + update_hidden) * (state[0] - new)]


def _rnn_tanh(gates, state):
    return [tf.tanh(gates[0])]


def _rnn_relu(gates, state):
    return [tf.nn.relu(gates[0])]


_CELLS = {"lstm": _lstm, "gru": _gru, "rnn_tanh": _rnn_tanh, "rnn_relu": _rnn_relu}
"""From gates ``[from input + from hidden]``, the GRU's apart, and the state to the next state."""


def _affine(rows, weight, bias):
    """``rows @ weight.T + bias``."""
    rank = rows.shape.rank
    flat = rows if rank == 2 else tf.reshape(rows, (-1, rows.shape[-1]))
    flat = tf.matmul(flat, weight, transpose_b=True)
    flat = flat if bias is None else flat + bias
    return flat if rank == 2 else tf.reshape(flat, (*rows.shape[:-1], weight.shape[0]))


def _gates(cell, from_input, from_hidden):
    return [from_input, from_hidden] if cell is _gru else [from_input + from_hidden]


def _choose(alive, new, old):
    return new if alive is None else [tf.where(alive, a, b) for a, b in zip(new, old, strict=True)]


def _steps(count, body, state, shapes, dtype):
    """Runs ``body(t, state) -> state, to keep`` for each t; the last state, and what was kept, stacked."""
    kept = [tf.TensorArray(dtype, count, element_shape=shape) for shape in shapes]
    width = len(state)

    def step(t, *carried):
        state, found = body(t, list(carried[:width]))
        arrays = [array.write(t, value) for array, value in zip(carried[width:], found, strict=True)]
        return (t + 1, *state, *arrays)

    done = tf.while_loop(lambda t, *_: t < count, step, (tf.constant(0), *state, *kept), maximum_iterations=count)
    return list(done[1 : 1 + width]), [array.stack() for array in done[1 + width :]]


def _over_time(cell, projected, state, hidden, alive, known):
    """All outputs and the last state; a sequence that is over, by ``alive``, keeps its state.

    ``known`` has the states if this graph has computed them before, and otherwise gets them.
    """
    count, width = projected.shape[0], len(state)
    given = [each is not None for each in hidden]

    def named(operands):
        found = iter(operands[1 + width :])
        return operands[0], list(operands[1 : 1 + width]), [next(found) if there else None for there in given]

    def lives(t):
        return None if alive is None else alive[t]

    @tf.custom_gradient
    def run(*operands):
        projected, state, (weight, bias, projection) = named(operands)

        def body(t, state):
            new = cell(_gates(cell, projected[t], _affine(state[0], weight, bias)), state)
            if projection is not None:
                new[0] = _affine(new[0], projection, None)
            new = _choose(lives(t), new, state)
            return new, new

        if not known:
            known.extend(_steps(count, body, state, [each.shape for each in state], projected.dtype))
        last, all_states = known
        return [all_states[0], *last], lambda *cotangents: back(operands, all_states, cotangents)

    def back(operands, all_states, cotangents):
        projected, state, (weight, bias, projection) = named(operands)
        before = [tf.concat([first[None], every[:-1]], 0) for first, every in zip(state, all_states, strict=True)]
        gates = _gates(cell, projected, _affine(before[0], weight, bias))

        def body(t, arriving):
            now = count - 1 - t
            arriving = [arriving[0] + cotangents[0][now], *arriving[1:]]
            zeros = [tf.zeros_like(each) for each in arriving]
            new = _choose(lives(now), arriving, zeros)
            hidden = new[0]
            if projection is not None:
                new = [tf.matmul(hidden, projection), *new[1:]]
            gates_now, before_now = [each[now] for each in gates], [each[now] for each in before]
            with tf.GradientTape() as tape:
                tape.watch([*gates_now, *before_now])
                after = cell(gates_now, before_now)
            pulled = tape.gradient(
                after, [*gates_now, *before_now], new, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            of_gates, of_state = pulled[: len(gates)], pulled[len(gates) :]
            of_state[0] += tf.matmul(of_gates[-1], weight)
            if alive is not None:
                held = _choose(lives(now), zeros, arriving)
                of_state = [each + kept for each, kept in zip(of_state, held, strict=True)]
            return of_state, [*of_gates, hidden] if projection is not None else of_gates

        shapes = [each.shape[1:] for each in gates]
        shapes = shapes if projection is None else [*shapes, state[0].shape]
        of_state, kept = _steps(count, body, list(cotangents[1:]), shapes, projected.dtype)
        kept = [tf.reverse(each, [0]) for each in kept]
        of_hidden = kept[len(gates) - 1]
        found = [kept[0], *of_state, _product(of_hidden, before[0])]
        if bias is not None:
            found.append(tf.reduce_sum(of_hidden, [0, 1]))
        if projection is not None:
            found.append(_product(kept[-1], cell(gates, before)[0]))
        return found

    outputs, *last = run(projected, *state, *[each for each in hidden if each is not None])
    return outputs, last


def _product(left, right):
    """The sum over steps and sequences of ``left.T @ right``."""
    flat = [tf.reshape(each, (-1, each.shape[-1])) for each in (left, right)]
    return tf.matmul(*flat, transpose_a=True)


def _places(batch_sizes, length, batch):
    """Of packed rows: which of them step t of sequence n is, whether there is such a step, and t and n by row."""
    batch_sizes = tf.cast(batch_sizes, tf.int32)
    ends = tf.cumsum(batch_sizes)
    starts = ends - batch_sizes
    column = tf.range(batch)
    alive = column < batch_sizes[:, None]
    rows = tf.where(alive, starts[:, None] + column, 0)
    packed = tf.range(length)
    steps = tf.reduce_sum(tf.cast(packed[:, None] >= ends, tf.int32), -1)
    return rows, alive[..., None], tf.stack([steps, packed - tf.gather(starts, steps)], -1)


_LAYERS = "_unified_recurrent_layers"
"""The attribute of a graph that holds the states of the layers in it, by what they are computed from."""


def _known(operands, options, count):
    """For each direction the list of states: of the layer itself to be filled, of its derivative as it left them.

    A derivative of a derivative differentiates the states as well, so it computes them.
    """
    fresh = [[] for _ in range(count)]
    if tf.executing_eagerly() or deriving.depth > 1:
        return fresh
    graph = tf.compat.v1.get_default_graph()
    if not hasattr(graph, _LAYERS):
        setattr(graph, _LAYERS, {})
    key = (*[None if each is None else id(_source(each)) for each in operands], *options)
    layers = getattr(graph, _LAYERS)
    if deriving.depth == 0:
        layers[key] = fresh, operands  # whose ids are in the key
    return layers.get(key, (fresh,))[0]


def _source(tensor):
    """What ``tensor`` is the same as: a pullback watches identities of its operands."""
    while isinstance(tensor, tf.Tensor) and tensor.op.type == "Identity" and tensor.op.graph is tensor.graph:
        tensor = tensor.op.inputs[0]
    return tensor


@natives.having("program", "unjitted")
def recurrent_layer(input, hx, weights, batch_sizes, mode, bidirectional):
    rows = alive = places = None
    if batch_sizes is not None:
        rows, alive, places = _places(batch_sizes, input.shape[0], hx[0].shape[1])
    outputs, states = [], []
    known = _known((input, *hx, *weights, batch_sizes), (mode, bidirectional), 1 + bidirectional)
    for direction, weight, bias, hidden in by_direction(weights, bidirectional):
        projected = _affine(input, weight, bias)
        projected = projected if rows is None else tf.gather(projected, rows)
        turn = (lambda each: tf.reverse(each, [0])) if direction else tf.identity
        output, last = _over_time(
            _CELLS[mode],
            turn(projected),
            [state[direction] for state in hx],
            hidden,
            None if alive is None else turn(alive),
            known[direction],
        )
        output = turn(output)
        outputs.append(output if places is None else tf.gather_nd(output, places))
        states.append(last)
    return tf.concat(outputs, -1), *[tf.stack(members) for members in zip(*states, strict=True)]

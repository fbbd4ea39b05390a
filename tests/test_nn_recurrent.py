"""Recurrent layers, cells and packed sequences against ``torch.nn`` in the same test.

float64 agrees to 1e-10: sums of a dozen terms over a few steps, in another order. float32 agrees to 1e-5.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch.nn.utils import rnn as torch_rnn

import unified as un
import unified.nn.functional as F
from unified import nn
from unified.nn.utils import rnn

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")  # PyTorch's word on its own kernels
LENGTHS = [2, 4, 1]
TOLERANCES = {"float32": 1e-5, "float64": 1e-10}


def close(found, expected, dtype="float64", what=""):
    tolerance = TOLERANCES[dtype]
    np.testing.assert_allclose(
        found.detach().numpy(), np.asarray(expected.detach()), tolerance, tolerance, err_msg=str(what)
    )


def pair(cls, *args, dtype="float64", **kwargs):
    """Ours and PyTorch's with the same parameters."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, cls)(*args, dtype=getattr(torch, dtype), **kwargs)
    ours = getattr(nn, cls)(*args, dtype=getattr(un, dtype), **kwargs)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def drawn(*shape, dtype="float64", seed=0):
    """The same leaf for both."""
    array = np.random.default_rng((seed, *shape)).standard_normal(shape).astype(dtype)
    ours = un.tensor(array, dtype=getattr(un, dtype)).requires_grad_()
    return ours, torch.tensor(array).requires_grad_()


def states(theirs, batch, dtype="float64"):
    """First states for both, as hx is given."""
    layers = theirs.num_layers * (1 + theirs.bidirectional)
    shapes = [(layers, batch, theirs.proj_size or theirs.hidden_size)]
    if theirs.mode == "LSTM":
        shapes.append((layers, batch, theirs.hidden_size))
    shapes = [shape if batch is not None else (shape[0], shape[2]) for shape in shapes]
    made = [drawn(*shape, dtype=dtype, seed=i) for i, shape in enumerate(shapes)]
    ours, others = [m[0] for m in made], [m[1] for m in made]
    return (tuple(ours), tuple(others)) if theirs.mode == "LSTM" else (ours[0], others[0])


def flat(value):
    if isinstance(value, (tuple, list)) and not hasattr(value, "data"):
        return [leaf for member in value for leaf in flat(member)]
    return [value.data if hasattr(value, "batch_sizes") else value]


def compare(module, ours, theirs, dtype="float64"):
    """Results of both and the gradients of every leaf, for a loss that weighs each result differently."""
    assert len(ours) == len(theirs)
    for place, (found, expected) in enumerate(zip(ours, theirs, strict=True)):
        close(found, expected, dtype, f"result {place}")
    sum(((place + 1) * (each * each).sum() for place, each in enumerate(ours)), un.tensor(0.0)).backward()
    sum((place + 1) * (each * each).sum() for place, each in enumerate(theirs)).backward()
    our_module, their_module = module
    for (name, found), (expected_name, expected) in zip(
        our_module.named_parameters(), their_module.named_parameters(), strict=True
    ):
        assert name == expected_name
        close(found.grad, expected.grad, dtype, name)


CASES = [
    ("LSTM", {"num_layers": 2, "bidirectional": True}),
    ("LSTM", {"proj_size": 2, "bias": False, "num_layers": 2, "batch_first": True}),
    ("GRU", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("GRU", {"bias": False}),
    ("RNN", {"bidirectional": True}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
]


FEW = [("batched", CASES[3]), ("unbatched", CASES[1]), ("packed", CASES[0]), ("packed", CASES[5])]
"""In `make test`; the others are compiled by the full run only."""


@pytest.mark.parametrize(
    ("way", "cls", "options"),
    [
        pytest.param(way, *case, marks=[] if (way, case) in FEW else pytest.mark.full)
        for way in ("batched", "unbatched", "packed")
        for case in CASES
    ],
    ids=str,
)
def test_layers_equal_torchs(backend: str, way: str, cls: str, options: dict) -> None:
    ours, theirs = pair(cls, 3, 4, **options)
    hx, their_hx = states(theirs, None if way == "unbatched" else 3)
    x, t = given, their_given = drawn(3, 4, 3) if theirs.batch_first else drawn(4, 3, 3)
    if way == "unbatched":
        x, t = given, their_given = drawn(4, 3)
    elif way == "packed":
        given = rnn.pack_padded_sequence(x, LENGTHS, theirs.batch_first, enforce_sorted=False)
        their_given = torch_rnn.pack_padded_sequence(t, LENGTHS, theirs.batch_first, enforce_sorted=False)
    results, expected = ours(given, hx), theirs(their_given, their_hx)
    assert isinstance(results[0], rnn.PackedSequence) == (way == "packed")
    compare((ours, theirs), flat(results), flat(expected))
    close(x.grad, t.grad, what="input")
    for mine, other in zip(flat(hx), flat(their_hx), strict=True):
        close(mine.grad, other.grad, what="hx")


@pytest.mark.parametrize("cls", ["LSTM", "GRU", "RNN"])
def test_float32_and_no_first_state(backend: str, cls: str) -> None:
    ours, theirs = pair(cls, 3, 8, 2, dtype="float32")
    x, t = drawn(16, 2, 3, dtype="float32")
    compare((ours, theirs), flat(ours(x)), flat(theirs(t)), "float32")
    ours.eval(), theirs.eval()
    with un.no_grad(), torch.no_grad():
        close(ours(x)[0], theirs(t)[0], "float32")
    ours.zero_grad()
    ours(x)[0].sum().backward()
    assert ours.weight_ih_l0.grad is not None, "eval mode keeps derivatives"


@pytest.mark.parametrize(
    ("cls", "options"),
    [("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu", "bias": False}), ("LSTMCell", {}), ("GRUCell", {})],
    ids=str,
)
@pytest.mark.parametrize("batched", [True, False])
def test_cells_equal_torchs(backend: str, cls: str, options: dict, batched: bool) -> None:
    ours, theirs = pair(cls, 3, 4, **options)
    x, t = drawn(2, 3) if batched else drawn(3)
    close(flat(ours(x))[0], flat(theirs(t))[0])
    made = [drawn(*((2, 4) if batched else (4,)), seed=i) for i in range(1 + (cls == "LSTMCell"))]
    hx, their_hx = (tuple(m[0] for m in made), tuple(m[1] for m in made)) if len(made) > 1 else made[0]
    compare((ours, theirs), flat(ours(x, hx)), flat(theirs(t, their_hx)))
    close(x.grad, t.grad)


def test_a_cell_and_its_layer_agree(backend: str) -> None:
    layer, cell = nn.LSTM(3, 4), nn.LSTMCell(3, 4)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x = un.randn(5, 2, 3)
    state = None
    for step in x.unbind(0):
        state = cell(step, state)
    np.testing.assert_allclose(layer(x)[0][-1].detach().numpy(), state[0].detach().numpy(), 1e-5, 1e-6)


def test_initial_parameters(backend: str) -> None:
    """Uniform within ``1 / sqrt(hidden_size)``, all of them, and the same on each backend."""
    un.manual_seed(3)
    made = nn.GRU(5, 16, 2)
    with un.backend("torch"):
        un.manual_seed(3)
        expected = nn.GRU(5, 16, 2)
    for value, same in zip(made.parameters(), expected.parameters(), strict=True):
        found = value.detach().numpy()
        np.testing.assert_array_equal(found, same.detach().numpy())
        assert 0.2 < np.abs(found).max() <= 0.25


@pytest.mark.parametrize("packed", [False, True])
def test_dropout_is_between_layers_and_the_same_on_every_backend(backend: str, packed: bool) -> None:
    _, theirs = pair("LSTM", 3, 4, 3, dtype="float32")
    array = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)

    def run():
        layers = nn.LSTM(3, 4, 3, dropout=0.5)
        layers.load_state_dict(theirs.state_dict())
        un.manual_seed(7)
        x = un.tensor(array)
        first = layers(rnn.pack_padded_sequence(x, [5, 3]) if packed else x)[0]
        return first.data if packed else first, layers.eval()(x)[0]

    dropped, plain = run()
    close(plain, theirs(torch.tensor(array))[0], "float32")
    with un.backend("torch"):
        expected = run()[0].detach().numpy()
    np.testing.assert_allclose(dropped.detach().numpy(), expected, 1e-5, 1e-6)
    if not packed:
        assert np.abs(dropped.detach().numpy() - plain.detach().numpy()).max() > 1e-3
    everything = nn.GRU(3, 4, 2, dropout=1.0, bias=False)
    assert float(everything(un.tensor(array))[0].abs().sum().item()) == 0.0


@pytest.mark.parametrize("cls", ["LSTM", "GRU"])
def test_second_derivatives(backend: str, cls: str) -> None:
    ours, theirs = pair(cls, 2, 3)
    x, t = drawn(3, 2, 2)
    first = un.autograd.grad((ours(x)[0] ** 2).sum(), [ours.weight_hh_l0, x], create_graph=True)
    expected = torch.autograd.grad((theirs(t)[0] ** 2).sum(), [theirs.weight_hh_l0, t], create_graph=True)
    second = un.autograd.grad(sum((g**2).sum() for g in first), [ours.weight_hh_l0, ours.weight_ih_l0, x])
    wanted = torch.autograd.grad(sum((g**2).sum() for g in expected), [theirs.weight_hh_l0, theirs.weight_ih_l0, t])
    for found, other in zip(second, wanted, strict=True):
        close(found, other)


def test_function_transforms(backend: str) -> None:
    """``vmap`` equals a loop, ``jvp`` the product of gradients and tangents, of a packed bidirectional layer too."""
    layer = nn.LSTM(2, 3, bidirectional=True, dtype=un.float64)
    xs = un.tensor(np.random.default_rng(0).standard_normal((2, 4, 3, 2)), dtype=un.float64)

    def last(x, packed=False):
        given = rnn.pack_padded_sequence(x, [4, 2, 2]) if packed else x
        return layer(given)[1][0]

    for packed in (False, True):
        with un.no_grad():
            batched = un.func.vmap(lambda x, packed=packed: last(x, packed))(xs)
            for found, x in zip(batched.unbind(0), xs.unbind(0), strict=True):
                np.testing.assert_allclose(found.numpy(), last(x, packed).numpy(), 1e-10, 1e-10)
    _, moved = un.func.jvp(lambda x: last(x).sum(), (xs[0],), (xs[1],))
    gradient = un.func.grad(lambda x: last(x).sum())(xs[0])
    np.testing.assert_allclose(moved.item(), (gradient * xs[1]).sum().item(), 1e-10)
    each = un.func.vmap(un.func.grad(lambda x: last(x).sum()))(xs)
    np.testing.assert_allclose(each[0].detach().numpy(), gradient.detach().numpy(), 1e-10, 1e-10)


# ---- compiled ----------------------------------------------------------------------------------------------------


def _step(layer, x, optimizer):
    optimizer.zero_grad()
    moved = x + layer.weight_hh_l0.mean()  # so that the input has a gradient as well
    loss = (layer(moved)[0] ** 2).mean()
    loss.backward()
    optimizer.step()
    return loss


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        ("LSTM", {"num_layers": 2, "dropout": 0.25, "batch_first": True}),
        pytest.param("GRU", {"bidirectional": True}, marks=pytest.mark.full),
        pytest.param("LSTM", {"proj_size": 2}, marks=pytest.mark.full),
        pytest.param("RNN", {}, marks=pytest.mark.full),
    ],
    ids=str,
)
def test_a_compiled_step_is_the_eager_one(backend: str, cls: str, options: dict) -> None:
    losses = []
    for wrap in (un.compile, lambda function: function):
        un.manual_seed(0)
        layer = getattr(nn, cls)(3, 4, **options)
        x = un.randn(5, 2, 3)
        optimizer = un.optim.SGD(layer.parameters(), lr=0.1)
        step = wrap(lambda layer=layer, optimizer=optimizer, x=x: _step(layer, x, optimizer))
        losses.append([step().item() for _ in range(3)])
    np.testing.assert_allclose(losses[0], losses[1], 1e-5)
    assert losses[0][2] != losses[0][0]


@pytest.mark.parametrize("scale", [None, pytest.param(0.5, marks=pytest.mark.full)], ids=["own", "computed weights"])
@pytest.mark.parametrize(
    "cls", ["LSTM", pytest.param("GRU", marks=pytest.mark.full), pytest.param("RNN", marks=pytest.mark.full)]
)
def test_compiled_gradients_are_those_of_the_eager_step(backend: str, cls: str, scale: float | None) -> None:
    """Of a program that writes to memory again between the layer and its derivative."""
    embedding, layer, head = nn.Embedding(5, 3), getattr(nn, cls)(3, 4), nn.Linear(4, 2)
    tokens = un.tensor(np.random.default_rng(0).integers(0, 5, (6, 2)).astype(np.int32))
    parameters = {**dict(layer.named_parameters()), "embedding": embedding.weight, "head": head.weight}

    def gradients(tokens):
        weights = {name: value if scale is None else value * scale for name, value in layer.named_parameters()}
        output, _ = un.func.functional_call(layer, weights, (embedding(tokens),))
        loss = F.cross_entropy(head(output.mean(0)), un.arange(2))
        return un.autograd.grad(loss, list(parameters.values()))

    found, expected = un.compile(gradients)(tokens), gradients(tokens)
    for name, ours, theirs in zip(parameters, found, expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), 1e-4, 1e-7, err_msg=name)  # float32 over 6 steps


def test_compiled_with_packing_inside(backend: str) -> None:
    layer = nn.GRU(3, 4)

    def padded(x):
        packed, last = layer(rnn.pack_padded_sequence(x, LENGTHS, enforce_sorted=False))
        output, lengths = rnn.pad_packed_sequence(packed)
        return output, lengths, last

    x = un.randn(4, 3, 3)
    with un.no_grad():
        for found, expected in zip(un.compile(padded)(x), padded(x), strict=True):
            np.testing.assert_allclose(found.numpy(), expected.numpy(), 1e-5, 1e-6)


@pytest.mark.full
def test_compiled_second_derivatives(backend: str) -> None:
    """Of a layer whose derivative keeps what the forward pass computed."""
    layer = nn.LSTM(3, 4, bidirectional=True, dtype=un.float64)
    x = un.tensor(np.random.default_rng(0).standard_normal((5, 2, 3)), dtype=un.float64)

    def penalty(x):
        x = x.detach().requires_grad_()
        loss = (layer(x)[0] ** 2).sum()
        (gradient,) = un.autograd.grad(loss, [x], create_graph=True)
        (loss + (gradient**2).sum()).backward()
        return [parameter.grad for parameter in layer.parameters()]

    found = [each.numpy() for each in un.compile(penalty)(x)]
    layer.zero_grad()
    for ours, expected in zip(found, penalty(x), strict=True):
        np.testing.assert_allclose(ours, expected.numpy(), 1e-9, 1e-10)


def test_compiled_with_a_packed_argument_and_a_second_derivative(backend: str) -> None:
    layer = nn.GRU(3, 4, dtype=un.float64)
    x = un.tensor(np.random.default_rng(0).standard_normal((4, 3, 3)), dtype=un.float64)
    packed = rnn.pack_padded_sequence(x, LENGTHS, enforce_sorted=False)

    def penalty(packed):
        data = packed.data.detach().requires_grad_()
        output = layer(packed.with_data(data))[0].data
        (gradient,) = un.autograd.grad((output**2).sum(), [data], create_graph=True)
        (gradient**2).sum().backward()
        return layer.weight_hh_l0.grad

    found = un.compile(penalty)(packed).numpy()
    layer.zero_grad()
    np.testing.assert_allclose(found, penalty(packed).numpy(), 1e-10, 1e-10)
    sorted_one = rnn.pack_padded_sequence(x, [4, 2, 1])
    with pytest.raises(un.errors.TracedValueError):
        un.compile(lambda packed: layer(packed)[1])(sorted_one)


# ---- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "words", "make"),
    [
        (ValueError, "probability", lambda: nn.LSTM(3, 4, 2, dropout=1.5)),
        (ValueError, "probability", lambda: nn.LSTM(3, 4, 2, dropout=True)),
        (ValueError, "hidden_size must be greater than zero", lambda: nn.GRU(3, 0)),
        (ValueError, "num_layers must be greater than zero", lambda: nn.GRU(3, 4, 0)),
        (TypeError, "input_size should be of type int", lambda: nn.RNN(3.0, 4)),
        (TypeError, "bias should be of type bool", lambda: nn.RNN(3, 4, bias=1)),
        (ValueError, "Unknown nonlinearity 'gelu'", lambda: nn.RNN(3, 4, nonlinearity="gelu")),
        (ValueError, "only supported for LSTM", lambda: nn.GRU(3, 4, proj_size=2)),
        (ValueError, "smaller than hidden_size", lambda: nn.LSTM(3, 4, proj_size=4)),
        (ValueError, "Unrecognized RNN mode", lambda: nn.RNNBase("QRNN", 3, 4)),
        (ValueError, "Expected input to be 2D or 3D, got 4D", lambda: nn.GRU(3, 4)(un.ones(1, 1, 1, 3))),
        (RuntimeError, "Expected 3, got 5", lambda: nn.GRU(3, 4)(un.ones(2, 1, 5))),
        (RuntimeError, "at least one step", lambda: nn.GRU(3, 4)(un.ones(0, 1, 3))),
        (ValueError, "does not match weight dtype", lambda: nn.GRU(3, 4)(un.ones(2, 1, 3, dtype=un.float64))),
        (RuntimeError, "unbatched 2-D input, hx should also", lambda: nn.GRU(3, 4)(un.ones(2, 3), un.ones(1, 1, 4))),
        (RuntimeError, r"hidden size \(1, 2, 4\)", lambda: nn.LSTM(3, 4)(un.ones(5, 2, 3), [un.ones(1, 3, 4)] * 2)),
        (RuntimeError, "cell size", lambda: nn.LSTM(3, 4)(un.ones(5, 2, 3), (un.ones(1, 2, 4), un.ones(1, 2, 5)))),
        (TypeError, "pair", lambda: nn.LSTM(3, 4)(un.ones(5, 2, 3), un.ones(1, 2, 4))),
        (TypeError, "pair", lambda: nn.LSTMCell(3, 4)(un.ones(2, 3), un.ones(2, 4))),
        (ValueError, "1D or 2D, got 3D", lambda: nn.GRUCell(3, 4)(un.ones(1, 2, 3))),
        (RuntimeError, "cell", lambda: nn.GRUCell(3, 4)(un.ones(2, 5))),
        (RuntimeError, "cell", lambda: nn.RNNCell(3, 4)(un.ones(2, 3), un.ones(3, 4))),
        (ValueError, "decreasing order", lambda: rnn.pack_padded_sequence(un.ones(4, 3, 1), LENGTHS)),
        (ValueError, "greater than 0", lambda: rnn.pack_padded_sequence(un.ones(4, 2, 1), [4, 0])),
        (ValueError, "equal to batch_size", lambda: rnn.pack_padded_sequence(un.ones(4, 2, 1), [4])),
        (ValueError, "exceeds the 4 steps", lambda: rnn.pack_padded_sequence(un.ones(4, 2, 1), [5, 1])),
        (ValueError, "total_length=1", lambda: rnn.pad_packed_sequence(packed(), total_length=1)),
        (ValueError, "padding_side", lambda: rnn.pad_sequence([un.ones(2)], padding_side="up")),
        (ValueError, "empty list", lambda: rnn.pad_sequence([])),
        (ValueError, "first dimension", lambda: rnn.pad_sequence([un.ones(2, 1), un.ones(3, 2)])),
        (TypeError, "sequences", lambda: rnn.pad_sequence(3)),
    ],
)
def test_bad_input(backend: str, error: type[Exception], words: str, make) -> None:
    with pytest.raises(error, match=words) as caught:
        make()
    assert isinstance(caught.value, un.errors.UnifiedError)


def packed():
    return rnn.pack_padded_sequence(un.ones(4, 2, 1), [4, 2])


def test_dropout_of_one_layer_warns(backend: str) -> None:
    with pytest.warns(UserWarning, match="non-zero dropout expects"):
        nn.LSTM(3, 4, dropout=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nn.LSTM(3, 4, 2, dropout=0.5).flatten_parameters()


# ---- packed sequences --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", [[4, 2, 1], LENGTHS])
def test_packing_and_padding_equal_torchs(backend: str, batch_first: bool, lengths: list[int]) -> None:
    x, t = drawn(3, 4, 2) if batch_first else drawn(4, 3, 2)
    in_order = lengths == sorted(lengths, reverse=True)
    ours = rnn.pack_padded_sequence(x, un.tensor(lengths), batch_first, in_order)
    theirs = torch_rnn.pack_padded_sequence(t, torch.tensor(lengths), batch_first, in_order)
    for found, expected in zip(ours, theirs, strict=True):
        assert (found is None) == (expected is None)
        if found is not None:
            np.testing.assert_array_equal(found.detach().numpy(), np.asarray(expected.detach()))
    options = {"batch_first": batch_first, "padding_value": 7.0, "total_length": 6}
    padded, lengths_back = rnn.pad_packed_sequence(ours, **options)
    expected, expected_lengths = torch_rnn.pad_packed_sequence(theirs, **options)
    assert lengths_back.tolist() == expected_lengths.tolist() == lengths
    close(padded, expected)
    (padded**3).sum().backward()
    (expected**3).sum().backward()
    close(x.grad, t.grad)
    integers = rnn.pad_packed_sequence(rnn.PackedSequence(un.arange(7), un.tensor([3, 2, 1, 1])))[0]
    assert integers.dtype is un.int32
    assert integers.tolist() == [[0, 1, 2], [3, 4, 0], [5, 0, 0], [6, 0, 0]]


@pytest.mark.parametrize(
    "options", [{}, {"batch_first": True, "padding_value": 2.0}, {"padding_side": "left"}], ids=str
)
def test_sequences_equal_torchs(backend: str, options: dict) -> None:
    made = [drawn(length, 2, seed=length) for length in LENGTHS]
    ours, theirs = [m[0] for m in made], [m[1] for m in made]
    padded, expected = rnn.pad_sequence(ours, **options), torch_rnn.pad_sequence(theirs, **options)
    close(padded, expected)
    (padded**2).sum().backward()
    close(ours[0].grad, 2 * theirs[0])
    first = options.get("batch_first", False)
    if "padding_side" not in options:
        for found, original in zip(rnn.unpad_sequence(padded, un.tensor(LENGTHS), first), ours, strict=True):
            np.testing.assert_array_equal(found.detach().numpy(), original.detach().numpy())
    packed, their_packed = rnn.pack_sequence(ours, False), torch_rnn.pack_sequence(theirs, False)
    close(packed.data, their_packed.data)
    assert packed.batch_sizes.tolist() == their_packed.batch_sizes.tolist()
    for found, original in zip(rnn.unpack_sequence(packed), ours, strict=True):
        np.testing.assert_array_equal(found.detach().numpy(), original.detach().numpy())


def test_a_packed_sequence_converts_and_takes_pairs(backend: str) -> None:
    made = rnn.pack_sequence([un.ones(1, 2), un.ones(3, 2)], enforce_sorted=False)
    assert made.batch == 2
    assert made.double().data.dtype is un.float64
    assert made.float() is made
    again = rnn.PackedSequence((made.data, made.batch_sizes), sorted_indices=made.sorted_indices)
    assert again.unsorted_indices.tolist() == [1, 0]
    moved = made.to(backend="torch")
    assert {each.backend for each in moved} == {"torch"}

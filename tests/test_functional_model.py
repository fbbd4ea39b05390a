"""``un.Model`` against the same network written as a plain Module, and its summary against Keras's.

Outputs and gradients are compared exactly where both run eagerly, since they run the same kernels in the same order;
compiled programs, which fuse, are within 1e-5 of a loss of order 1.
"""

from __future__ import annotations

import copy
import pickle
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unified as un
import unified.nn.functional as F
from unified import errors, nn


class Plain(nn.Module):
    """A network with a residual, a layer that is used twice, a dropout and batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(2, 4, 3, padding=1)
        self.batchnorm2d = nn.BatchNorm2d(4)
        self.conv2d_1 = nn.Conv2d(4, 4, 3, padding=1)
        self.linear = nn.Linear(16, 3)
        self.dropout = nn.Dropout(0.5)

    def forward(self, image: un.Tensor, other: un.Tensor) -> dict[str, Any]:
        hidden = self.batchnorm2d(self.conv2d(image)).relu()
        hidden = F.max_pool2d(self.conv2d_1(hidden) + hidden, 2)
        flat = hidden.reshape(hidden.shape[0], -1)
        mixed = un.cat([flat[:, :8], other], dim=1)
        return {"scores": self.linear(flat), "pair": (self.dropout(self.linear(mixed)), [flat.mean(1).detach()])}


def functional(net: Plain) -> un.Model:
    """The same, with the layers of ``net``."""
    image, other = un.Input((2, 4, 4), name="image"), un.Input(8, name="other")
    hidden = net.batchnorm2d(net.conv2d(image)).relu()
    hidden = F.max_pool2d(net.conv2d_1(hidden) + hidden, 2)
    flat = hidden.reshape(hidden.shape[0], -1)
    mixed = un.cat([flat[:, :8], other], dim=1)
    scores = net.linear(flat)
    return un.Model(
        [image, other], {"scores": scores, "pair": (net.dropout(net.linear(mixed)), [flat.mean(1).detach()])}
    )


def batch(examples: int = 5) -> tuple[un.Tensor, un.Tensor]:
    rng = np.random.default_rng(0)
    image, other = rng.standard_normal((examples, 2, 4, 4)), rng.standard_normal((examples, 8))
    return un.tensor(image.astype(np.float32)), un.tensor(other.astype(np.float32))


def loss_of(outputs: dict[str, Any]) -> un.Tensor:
    scores, (dropped, [means]) = outputs["scores"], outputs["pair"]
    total: un.Tensor = scores.square().mean() + dropped.sin().mean() + means.square().mean()
    return total


def arrays(nest: Any) -> list[Any]:
    if isinstance(nest, un.Tensor):
        return [nest.detach().numpy()]
    return [array for member in (nest.values() if isinstance(nest, dict) else nest) for array in arrays(member)]


def test_a_model_is_the_same_network(backend: str) -> None:
    un.manual_seed(0)
    plain = Plain()
    model = functional(copy.deepcopy(plain))
    assert list(model.state_dict()) == list(plain.state_dict())
    for examples, training in ((5, True), (2, True), (3, False)):
        results = []
        for net in (plain.train(training), model.train(training)):
            un.manual_seed(1)
            net.zero_grad()
            outputs = net(*batch(examples))
            loss_of(outputs).backward()
            results.append([*arrays(outputs), *arrays([p.grad for p in net.parameters()]), *arrays(net.state_dict())])
        assert type(outputs["pair"]) is tuple
        assert type(outputs["pair"][1]) is list
        for found, expected in zip(*reversed(results), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_a_model_compiles(backend: str) -> None:
    un.manual_seed(0)
    x = un.Input(3)
    model = un.Model(x, nn.Linear(3, 2)(x).sin() + x.mean(1, keepdim=True))
    data = un.tensor(np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32))
    results = []
    for run in (model, un.compile(model)):
        model.zero_grad()
        y = run(data)
        y.sum().backward()
        results.append(arrays([y, model.linear.weight.grad]))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.full
def test_a_model_trains_compiled(backend: str) -> None:
    un.manual_seed(0)
    plain = Plain()
    losses = []
    for net in (copy.deepcopy(plain), functional(copy.deepcopy(plain))):
        un.manual_seed(1)
        adam = un.optim.Adam(net.parameters(), lr=1e-2)

        def step(image: un.Tensor, other: un.Tensor, net: Any = net, adam: Any = adam) -> un.Tensor:
            adam.zero_grad()
            loss = loss_of(net(image, other))
            loss.backward()
            adam.step()
            return loss

        run = un.compile(step) if isinstance(net, un.Model) else step
        losses.append([float(run(*batch()).detach()) for _ in range(3)])
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-5)


def test_building_touches_no_state(backend: str) -> None:
    un.manual_seed(0)
    plain = Plain()
    before = {name: value.numpy() for name, value in plain.state_dict().items()}
    seed = un.get_rng_state().numpy()
    model = functional(plain)
    np.testing.assert_array_equal(un.get_rng_state().numpy(), seed)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert all(p.requires_grad and p.is_leaf and p.grad is None for p in model.parameters())


def test_ways_to_call(backend: str) -> None:
    a, b = un.Input(2, name="a"), un.Input(2)
    flat = un.Model((a, b), a - b)
    nested = un.Model({"x": a, "y": [b]}, [a - b])
    one, two = un.ones(3, 2), un.zeros(3, 2)
    for difference in (flat(one, two), flat([one, two]), flat((one, two)), flat(a=one, input=two)):
        assert float(difference.sum()) == 6
    (difference,) = nested({"y": [two], "x": one})
    assert float(difference.sum()) == 6
    for wrong in ((one,), (one, two, one), ({"a": one, "input": two},)):
        with pytest.raises(errors.ArgumentError, match=r"takes 2 inputs \(a, input\)"):
            flat(*wrong)
    with pytest.raises(errors.ArgumentError, match="by the names a, input"):
        flat(a=one, b=two)
    with pytest.raises(errors.ShapeError, match=r"input input has shape \(3, 4\) and not \(None, 2\)"):
        flat(one, un.ones(3, 4))
    with pytest.raises(errors.OperandError, match="input a must be a Tensor"):
        flat(a=1.0, input=two)


def test_models_share_layers_and_nest(backend: str) -> None:
    x = un.Input(4)
    hidden = nn.Linear(4, 3)(x)
    scores = nn.Linear(3, 2)(hidden.tanh())
    whole, encoder, rest = un.Model(x, scores), un.Model(x, hidden), un.Model(hidden, scores)
    assert whole.linear is encoder.linear
    assert whole.linear_1 is rest.linear
    data = un.tensor(np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32))
    expected = whole(data).detach().numpy()
    np.testing.assert_array_equal(rest(encoder(data)).detach().numpy(), expected)
    y = un.Input(4)
    nested = un.Model(y, rest(encoder(y)) * 2)
    assert list(nested.state_dict()) == [
        "model.linear.weight", "model.linear.bias", "model_1.linear.weight", "model_1.linear.bias",
    ]  # fmt: skip
    np.testing.assert_array_equal(nested(data).detach().numpy(), 2 * expected)
    whole.linear_1 = nn.Linear(3, 7)
    assert whole(data).shape == (5, 7)
    assert rest(encoder(data)).shape == (5, 2)


def test_parameters_and_constants_of_ops(backend: str) -> None:
    x = un.Input(3)
    scale, shift = nn.Parameter(un.full((3,), 2.0)), un.tensor([1.0, 2.0, 3.0])
    model = un.Model(x, ((x * scale + shift) * scale).sum(1))
    assert list(model.state_dict()) == ["parameter"]
    assert model.parameter is scale
    model(un.ones(2, 3)).sum().backward()
    np.testing.assert_array_equal(scale.grad.numpy(), 2 * (4 + np.array([1, 2, 3])))  # 2 examples of 2 s x + shift
    copied = copy.deepcopy(model)
    assert copied.parameter is not scale
    np.testing.assert_array_equal(copied(un.ones(2, 3)).detach().numpy(), model(un.ones(2, 3)).detach().numpy())


def test_in_place_calls_are_in_order(backend: str) -> None:
    """As in the program that was written: what is changed in place is changed for what comes after."""
    x = un.Input(2)
    before = x + 1
    hidden = x * 2
    kept = hidden + 0
    hidden.add_(1)
    hidden = nn.ReLU(inplace=True)(hidden)
    found = un.Model(x, [before, kept, hidden])(un.tensor([[-3.0, 1.0]]))
    assert [t.tolist() for t in found] == [[[-2, 2]], [[-6, 2]], [[0, 3]]]


def test_a_model_moves_to_another_backend(backend: str) -> None:
    un.manual_seed(0)
    x = un.Input(3)
    model = un.Model(x, (nn.Linear(3, 4)(x) * un.tensor([1.0, 2.0, 3.0, 4.0])).softmax(1))
    data = un.tensor([[1.0, 2.0, 3.0]])
    expected = model(data).detach().numpy()
    for other in un.available_backends():
        found = model.to(backend=other)(data.to(backend=other))
        assert found.backend == other
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5)


def test_what_depends_on_the_batch(backend: str) -> None:
    x = un.Input((3, 4))
    assert str(tuple(x.shape)) == "(None, 3, 4)"
    rows = x.reshape(x.shape[0] * 3, 4)
    assert str(tuple(rows.shape)) == "(None, 4)"
    back = rows.reshape(rows.shape[0] // 3, 12)
    middle = back[: x.shape[0] - 1].flatten(0, 1)
    slices = [x[1:], x[:], x[-1], x[1:, 0], x[: x.shape[0], ..., 2:], x[-2:, :, None]]
    assert [str(tuple(t.shape)) for t in slices[:3]] == ["(None, 3, 4)", "(None, 3, 4)", "(3, 4)"]
    model = un.Model(x, [rows, back, middle, x.sum() / x.shape[0], *slices])
    for examples in (2, 3, 7):
        given = un.arange(examples * 12.0).reshape(examples, 3, 4)
        found = model(given)
        shapes = [(3 * examples, 4), (examples, 12), (12 * examples - 12,)]
        assert [tuple(t.shape) for t in found[:3]] == shapes
        assert float(found[3]) == float(given.sum()) / examples
        for t, key in zip(found[4:], (slice(1, None), slice(None), -1), strict=False):
            np.testing.assert_array_equal(t.numpy(), given.numpy()[key])
        np.testing.assert_array_equal(found[7].numpy(), given.numpy()[1:, 0])
        np.testing.assert_array_equal(found[8].numpy(), given.numpy()[..., 2:])
        np.testing.assert_array_equal(found[9].numpy(), given.numpy()[-2:, :, None])
    assert un.Model(rows, back)(un.ones(6, 4)).shape == (2, 12)


def test_dtypes_and_several_results(backend: str) -> None:
    ids = un.Input(6, dtype=un.int32)
    vectors = nn.Embedding(10, 4, max_norm=1.0)(ids)
    assert vectors.dtype is un.float32
    values, indices = vectors.max(1)
    assert indices.dtype is un.int32
    attended, weights = nn.MultiheadAttention(4, 2, batch_first=True)(vectors, vectors, vectors)
    model = un.Model(ids, (values, indices, attended, weights))
    found = model(un.zeros(3, 6, dtype=un.int32))
    assert [tuple(t.shape) for t in found] == [(3, 4), (3, 4), (3, 6, 4), (3, 6, 6)]
    wide = un.Input(2, dtype=un.float64)
    assert un.Model(wide, wide * 2)(un.ones(1, 2, dtype=un.float64)).dtype is un.float64


def test_lazy_layers_take_their_shapes_from_symbolic_inputs(backend: str) -> None:
    un.manual_seed(0)
    image = un.Input((2, 6, 6))
    hidden = nn.Sequential(nn.LazyConv2d(4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten())(image)
    model = un.Model(image, nn.LazyLinear(3)(hidden))
    assert isinstance(model.linear, nn.Linear)
    assert isinstance(model.sequential[0], nn.Conv2d)
    assert all(module.training for module in model.modules())
    assert not model.sequential[1].running_mean.numpy().any()
    un.manual_seed(0)
    conv, linear = nn.Conv2d(2, 4, 3), nn.Linear(64, 3)
    np.testing.assert_array_equal(model.sequential[0].weight.detach().numpy(), conv.weight.detach().numpy())
    np.testing.assert_array_equal(model.linear.weight.detach().numpy(), linear.weight.detach().numpy())
    model(un.ones(3, 2, 6, 6)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


# ---- refusals ----------------------------------------------------------------------------------------------------


def test_symbolic_tensors_have_no_values(backend: str) -> None:
    x = un.Input(3)
    assert "traced" in repr(x)
    assert not x.requires_grad
    for read in (lambda: x.sum().item(), lambda: bool(x.sum() > 0), lambda: x.numpy(), lambda: 1 / x.shape[0]):
        with pytest.raises(errors.SymbolicTensorError):
            read()

    class Double(un.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: un.Tensor) -> un.Tensor:
            return 2 * x

        @staticmethod
        def backward(ctx: Any, gradient: un.Tensor) -> un.Tensor:
            return 2 * gradient

    with pytest.raises(errors.SymbolicTensorError, match="Double"):
        Double.apply(x)
    with pytest.raises(errors.SymbolicTensorError, match=r"compile the un\.Model"):
        un.compile(nn.Linear(3, 2))(x)
    with pytest.raises(errors.SymbolicTensorError, match="pickled"):
        pickle.dumps(un.Model(x, x + 1))


def test_what_fixes_the_batch_is_refused(backend: str) -> None:
    x = un.Input(3)
    with pytest.raises(errors.SymbolicTensorError, match="a random draw"):
        x + un.rand(x.shape[0], 3)
    with pytest.raises(errors.ArgumentError, match="how many results"):
        x.unbind(0)
    with pytest.raises(errors.ShapeError, match=r"linear|mat"):
        nn.Linear(4, 2)(x)


def test_what_is_no_graph_is_refused(backend: str, tmp_path: Path) -> None:
    a, b = un.Input(2, name="left"), un.Input(2)
    with pytest.raises(errors.ArgumentError, match=r"the input left .* is not among the inputs"):
        un.Model(b, a + b)
    with pytest.raises(errors.ArgumentError, match="twice"):
        un.Model([a, a], a + 1)
    for inputs, outputs in ((un.ones(2), a), (a, un.ones(2)), ([], a), (a, [])):
        with pytest.raises(errors.OperandError, match="symbolic"):
            un.Model(inputs, outputs)
    for shape in ((None, 3), (-1,), ("a",)):
        with pytest.raises(errors.ArgumentError, match="shape"):
            un.Input(shape)  # type: ignore[arg-type]
    weight = nn.Parameter(un.ones(2))
    with pytest.raises(errors.AutogradError, match="computed with gradients recorded"):
        a * (weight * 2)
    with pytest.raises(errors.OperandError, match="Plan"):
        un.save_model(un.Model(a, a + 1), tmp_path / "model")
    assert not (tmp_path / "model").exists()


# ---- summaries and pictures --------------------------------------------------------------------------------------


def lines_of(model: un.Model) -> list[str]:
    found: list[str] = []
    model.summary(found.append)
    return found


def test_summary() -> None:
    with un.backend("torch"):
        plain = Plain()
        plain.linear.requires_grad_(False)
        lines = lines_of(functional(plain))
    rows = [re.split(r"\s{2,}", line) for line in lines]
    assert rows[0] == ["layer", "output shape", "parameters", "from"]
    assert ["image (Input)", "(None, 2, 4, 4)", "0"] in rows
    assert ["conv2d (Conv2d)", "(None, 4, 4, 4)", "76", "image"] in rows
    assert ["add (op)", "(None, 4, 4, 4)", "0", "conv2d_1, relu"] in rows
    assert [row[2] for row in rows if row[0] == "linear (Linear)"] == ["51", "0"]
    assert lines[-3:] == ["parameters: 283 (1.11 KB)", "trained: 232, frozen: 51", "buffers: 9"]


def test_summary_counts_as_keras_does() -> None:
    """Keras counts running statistics, which are buffers here, as parameters that are not trained."""
    keras = pytest.importorskip("keras", reason="comes with TensorFlow")
    x = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(6, 3, padding="same")(x)
    y = keras.layers.BatchNormalization()(y)
    y = keras.layers.Add()([y, keras.layers.Conv2D(6, 1)(x)])
    y = keras.layers.Dense(5)(keras.layers.Flatten()(keras.layers.MaxPooling2D()(y)))
    theirs: list[str] = []
    keras.Model(x, y).summary(print_fn=lambda line, **_: theirs.append(line))
    text = "\n".join(theirs)

    def count(words: str) -> int:
        found = re.search(rf"{words} params: ([\d,]+)", text)
        assert found is not None
        return int(found[1].replace(",", ""))

    with un.backend("torch"):
        a = un.Input((3, 8, 8))
        b = nn.BatchNorm2d(6)(nn.Conv2d(3, 6, 3, padding="same")(a)) + nn.Conv2d(3, 6, 1)(a)
        model = un.Model(a, nn.Linear(96, 5)(nn.MaxPool2d(2)(b).flatten(1)))
        statistics = sum(buffer.numel() for buffer in model.buffers() if buffer.is_floating_point())
    lines = lines_of(model)
    assert f"trained: {count(' Trainable'):,}, frozen: 0" in lines
    assert statistics == count("Non-trainable")


class _NoDotError(RuntimeError):
    pass


def _graphviz(pipe: Callable[[Any, str], bytes]) -> types.ModuleType:
    """A stand-in for the package, which keeps what it is told."""

    class Digraph:
        def __init__(self, **_: Any) -> None:
            self.nodes: dict[str, str] = {}
            self.edges: list[tuple[str, str]] = []

        def node(self, name: str, label: str) -> None:
            self.nodes[name] = label

        def edge(self, tail: str, head: str) -> None:
            self.edges.append((tail, head))

        def pipe(self, format: str) -> bytes:
            return pipe(self, format)

    module = types.ModuleType("graphviz")
    module.Digraph, module.ExecutableNotFound = Digraph, _NoDotError  # type: ignore[attr-defined]
    return module


def test_plot_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with un.backend("torch"):
        model = functional(Plain())
    drawn: list[Any] = []

    def pipe(graph: Any, format: str) -> bytes:
        drawn.append(graph)
        return format.encode()

    monkeypatch.setitem(sys.modules, "graphviz", _graphviz(pipe))
    assert un.plot_model(model, tmp_path / "net.svg").read_bytes() == b"svg"
    (graph,) = drawn
    assert graph.nodes["conv2d"] == "conv2d\nConv2d\n(None, 4, 4, 4)"
    assert {("image", "conv2d"), ("conv2d_1", "add"), ("relu", "add"), ("cat", "linear")} <= set(graph.edges)
    with pytest.raises(errors.ArgumentError, match="suffix"):
        un.plot_model(model, tmp_path / "net")
    with pytest.raises(errors.OperandError, match=r"takes a un\.Model"):
        un.plot_model(Plain(), tmp_path / "net.png")  # type: ignore[arg-type]


def test_plot_model_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with un.backend("torch"):
        x = un.Input(1)
        model = un.Model(x, x + 1)

    def pipe(graph: Any, format: str) -> bytes:
        raise _NoDotError

    for package, words in ((None, "package graphviz is not installed"), (_graphviz(pipe), "program dot")):
        monkeypatch.setitem(sys.modules, "graphviz", package)
        with pytest.raises(errors.MissingToolError, match=words):
            un.plot_model(model, tmp_path / "net.png")
        assert not list(tmp_path.iterdir())

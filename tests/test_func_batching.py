"""``vmap``: where batches lie, what is drawn within, what is refused; Modules by the example and by the ensemble."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.func

import unified as un
import unified.nn.functional as F
from tests.test_func import CLOSE, compare, same
from unified import errors, func, nn

_X = np.random.default_rng(0).standard_normal((4, 2, 3)).astype(np.float32)
_Y = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)


@pytest.mark.parametrize("in_dims", [0, 1, 2, -1, (1,), (None, 0), (2, -2), (0, 1)], ids=str)
@pytest.mark.parametrize("out_dims", [0, 1, -1])
def test_in_dims_and_out_dims(backend, in_dims, out_dims):
    def program(f, m, x, y):
        args = (x, y) if isinstance(in_dims, tuple) and len(in_dims) == 2 else (x,)
        return f.vmap(lambda x, y=None: x.sin() if y is None else x.sum() * y, in_dims, out_dims)(*args)

    compare(program, _X, _Y)


def test_nested_in_dims_and_several_outputs(backend):
    def program(f, m, x, y):
        def function(pair, table, number):
            return {"a": pair[0] * number + table["w"], "b": [pair[1].sum(), table["w"]]}, pair[0]

        first = f.vmap(function, in_dims=((0, None), {"w": 1}, None), out_dims=0)((x, y), {"w": y}, 2)
        second = f.vmap(lambda x: (x.reshape(1), x), in_dims=0, out_dims=(1, 0))(x)
        third = f.vmap(lambda x, y: (x, y), in_dims=(0, None), out_dims=(0, None))(x, y)
        constant = f.vmap(lambda x: m.ones(2), in_dims=0)(x)
        return first, second, third, constant

    compare(program, _X[:, 0, 0], _Y)


@pytest.mark.parametrize("chunk_size", [1, 3, 4, 9])
def test_chunks(backend, chunk_size):
    compare(lambda f, m, x: f.vmap(lambda x: (x.sin(), x.sum()), 0, (1, 0), chunk_size=chunk_size)(x), _X)


def test_operators_and_views_within(backend):
    def program(f, m, x, y):
        def function(x, y):
            parts = m.cat([x[:, 0], y[:2], x[0, 1:]])
            z = m.where(x > 0, x, -x) @ y[:3].reshape(3, 1)
            return (
                parts.sort()[0],
                z.squeeze(-1).softmax(0),
                m.einsum("ij,j->i", x, y[:3]),
                x.max(1)[0],
                x.argmax(1) * 1.0,
            )

        return f.vmap(function, in_dims=(0, 1))(x, y)

    compare(program, _X, _Y)


_BY_DIMENSION = {
    "cat": lambda m, x, d: m.cat([x, x * 2], d),
    "cumsum": lambda m, x, d: x.cumsum(d),
    "diff": lambda m, x, d: m.diff(x, dim=d),
    "flip": lambda m, x, d: m.flip(x, (d,)),
    "gather": lambda m, x, d: m.gather(x, d, (x > 0).to(m.int64)),
    "index_select": lambda m, x, d: m.index_select(x, d, m.tensor([1, 0])),
    "logsumexp": lambda m, x, d: m.logsumexp(x, d),
    "movedim": lambda m, x, d: m.movedim(x, d, 0),
    "narrow": lambda m, x, d: m.narrow(x, d, 1, 1),
    "repeat_interleave": lambda m, x, d: m.repeat_interleave(x, 2, d),
    "roll": lambda m, x, d: m.roll(x, 1, d),
    "scatter_add": lambda m, x, d: m.scatter_add(x, d, (x > 0).to(m.int64), x * 3),
    "select": lambda m, x, d: m.select(x, d, 1),
    "softmax": lambda m, x, d: m.softmax(x, d),
    "sort": lambda m, x, d: m.sort(x, d)[0],
    "split": lambda m, x, d: m.cat([part * 2 for part in m.split(x, 1, d)], d),
    "squeeze": lambda m, x, d: m.squeeze(x[:1, :1], d),
    "stack": lambda m, x, d: m.stack([x, x * 2], d),
    "sum": lambda m, x, d: x.sum(d),
    "topk": lambda m, x, d: m.topk(x, 2, d)[0],
    "unbind": lambda m, x, d: m.unbind(x, d)[-1],
    "unsqueeze": lambda m, x, d: m.unsqueeze(x, d),
}
"""Functions of a matrix by one of its dimensions."""


@pytest.mark.parametrize("name", _BY_DIMENSION)
def test_dimensions_are_those_of_an_example(backend, name):
    """Counted from either end."""
    for dim in (-2, -1, 0, 1):
        compare(lambda f, m, x, dim=dim: f.vmap(lambda x: _BY_DIMENSION[name](m, x, dim), 1)(x), _X)


@pytest.mark.parametrize("value", [0.0, -0.0, 2.5, float("-inf")])
def test_a_padding_keeps_its_fill(backend, value):
    def program(f, m, x):
        functional = m.nn.functional if m is torch else F
        padded = f.vmap(lambda x: functional.pad(x, (1, 0, 0, 2), value=value))(x)
        return padded, m.signbit(padded) * 1.0

    compare(program, _X)


def test_vmap_of_vmap_with_mixed_levels(backend):
    def program(f, m, x, y):
        return f.vmap(lambda a: f.vmap(lambda b: a.sum() * b + y[0, 0] - a.sum())(y))(x)

    compare(program, _X, _Y)


@pytest.mark.parametrize(
    ("attempt", "kind", "reason"),
    [
        (lambda x: func.vmap(lambda x: x, in_dims=None)(x), errors.ArgumentError, "in_dims must be"),
        (lambda x: func.vmap(lambda x: x, in_dims=(None,))(x), errors.ArgumentError, "at least one Tensor"),
        (lambda x: func.vmap(lambda: 1)(), errors.ArgumentError, "at least one positional"),
        (lambda x: func.vmap(lambda x: x, in_dims=(0, 0))(x), errors.ArgumentError, "does not fit the structure"),
        (lambda x: func.vmap(lambda x, y: x, in_dims=(0, {"a": 0}))(x, {"b": x}), errors.ArgumentError, "structure"),
        (lambda x: func.vmap(lambda x: x, in_dims=3)(x), errors.ShapeError, "3 dimension"),
        (lambda x: func.vmap(lambda x: x, in_dims=-4)(x), errors.ShapeError, "-4"),
        (lambda x: func.vmap(lambda x, y: x)(x, x[:2]), errors.ShapeError, r"\[4, 2\]"),
        (lambda x: func.vmap(lambda x, y: x)(x, 2), errors.ArgumentError, "int"),
        (lambda x: func.vmap(lambda x: 2)(x), errors.FunctionTransformError, "returned int"),
        (lambda x: func.vmap(lambda x: x, out_dims=None)(x), errors.ArgumentError, "out_dims None"),
        (lambda x: func.vmap(lambda x: x, out_dims=3)(x), errors.ShapeError, "out of range"),
        (lambda x: func.vmap(lambda x: (x, x), out_dims=(0, 0, 0))(x), errors.ArgumentError, "out_dims"),
        (lambda x: func.vmap(lambda x: x, randomness="some")(x), errors.ArgumentError, "randomness"),
        (lambda x: func.vmap(lambda x: x, chunk_size=0)(x), errors.ArgumentError, "chunk_size"),
        (lambda x: func.vmap(lambda x: x.sum().item())(x), RuntimeError, "vmap"),
        (lambda x: func.vmap(lambda x: x if x.sum() > 0 else -x)(x), RuntimeError, "vmap"),
        (lambda x: func.vmap(lambda x: x.nonzero())(x), RuntimeError, "nonzero"),
        (lambda x: func.vmap(lambda x: x @ x)(x), errors.ShapeError, r"matmul: shapes \(2, 3\) and \(2, 3\)"),
        (lambda x: func.vmap(lambda x: un.rand(2))(x), errors.FunctionTransformError, "randomness="),
    ],
)  # fmt: skip
def test_bad_input(backend, attempt, kind, reason):
    x = un.tensor(_X)
    with pytest.raises(kind, match=reason):
        attempt(x)
    same(func.vmap(lambda x: x * 2)(x), torch.tensor(_X) * 2)  # nothing is left over


def test_draws_within():
    seen = {}
    for name in un.available_backends():
        with un.backend(name):
            x = un.tensor(_X)
            draw = lambda x: (un.rand(2), F.dropout(x, 0.5), un.randn(3) + x[0], un.randperm(5))  # noqa: E731
            un.manual_seed(3)
            fresh = un.rand(4, 2)
            found = {}
            for randomness in ("different", "same"):
                un.manual_seed(3)
                found[randomness] = func.vmap(draw, randomness=randomness)(x)
            un.manual_seed(3)
            found["chunks"] = func.vmap(draw, randomness="same", chunk_size=3)(x)
            un.manual_seed(3)
            found["by value"] = [func.vmap(lambda x: un.bernoulli(x.sigmoid()), randomness="different")(x)]
            found["by value"] += [func.vmap(lambda x: x[0].sigmoid().multinomial(2), randomness="different")(x)]
            found["after"] = [un.rand(3)]
            un.manual_seed(3)
            nested = func.vmap(
                lambda x: func.vmap(lambda y: un.rand(3) + 0 * y, randomness="same")(x), 0, 0, "different"
            )
            found["nested"] = [nested(x)]
        np.testing.assert_array_equal(found["different"][0].numpy(), fresh.numpy())
        rows = found["same"][0].numpy()
        assert (rows == rows[0]).all()
        assert not (found["different"][0].numpy() == rows).all()
        assert found["nested"][0].shape == (4, 2, 3)
        assert (found["nested"][0][:, 0].numpy() == found["nested"][0][:, 1].numpy()).all()
        for whole, chunked in zip(found["same"], found["chunks"], strict=True):
            np.testing.assert_array_equal(whole.numpy(), chunked.numpy())
        seen[name] = [t.numpy() for group in found.values() for t in group]
    first, *others = seen.values()
    for other in others:
        for one, two in zip(first, other, strict=True):
            np.testing.assert_allclose(one, two, **CLOSE)


class _Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.LayerNorm(12)
        self.linear = nn.Linear(12, 4)
        self.register_buffer("shift", un.tensor(np.linspace(0, 1, 4, dtype=np.float32)))

    def forward(self, x):
        h = F.max_pool2d(self.conv(x).relu(), 2)
        return self.linear(self.norm(h.flatten(1))) + self.shift


def _images():
    rng = np.random.default_rng(2)
    return un.tensor(rng.standard_normal((5, 1, 6, 6)).astype(np.float32)), un.tensor([0, 1, 2, 3, 1])


def test_gradients_by_the_example_equal_a_loop(backend):
    un.manual_seed(0)
    net, (images, labels) = _Net(), _images()
    params = {name: value.detach() for name, value in net.named_parameters()}
    buffers = dict(net.named_buffers())

    def loss(params, image, label):
        logits = func.functional_call(net, (params, buffers), (image.unsqueeze(0),))
        return F.cross_entropy(logits, label.unsqueeze(0))

    found = func.vmap(func.grad(loss), in_dims=(None, 0, 0))(params, images, labels)
    for i in range(5):
        net.zero_grad()
        F.cross_entropy(net(images[i : i + 1]), labels[i : i + 1]).backward()
        for name, param in net.named_parameters():
            np.testing.assert_allclose(found[name][i].numpy(), param.grad.numpy(), **CLOSE)


def test_ensembles(backend):
    un.manual_seed(0)
    nets, (images, _) = [_Net() for _ in range(3)], _images()
    params, buffers = func.stack_module_state(nets)
    assert all(value.requires_grad and value.is_leaf and value.shape[0] == 3 for value in params.values())

    def call(params, buffers, images):
        return func.functional_call(nets[0], (params, buffers), (images,))

    found = func.vmap(call, in_dims=(0, 0, None))(params, buffers, images)
    expected = un.stack([net(images) for net in nets])
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), **CLOSE)
    found.sin().sum().backward()
    expected.sin().sum().backward()
    for name, value in params.items():
        grads = np.stack([dict(net.named_parameters())[name].grad.numpy() for net in nets])
        np.testing.assert_allclose(value.grad.numpy(), grads, **CLOSE)
    nets[1].eval()
    with pytest.raises(errors.ArgumentError, match="training mode"):
        func.stack_module_state(nets)


def test_functional_call(backend):
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = {name: value.detach().numpy().copy() for name, value in net.state_dict().items()}
    x = un.tensor(_Y[:, :2].copy())
    state = {name: value.detach().clone() for name, value in net.state_dict().items()}
    state["0.weight"] = state["0.weight"] * 0
    out = func.functional_call(net, state, x)
    assert out.shape == (3, 2)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert (state["1.running_mean"].numpy() != before["1.running_mean"]).any()
    with pytest.raises(errors.StateDictError, match="no parameters or buffers named"):
        func.functional_call(net, {"other": x}, x)
    with pytest.raises(errors.StateDictError, match="missing"):
        func.functional_call(net, {"0.weight": state["0.weight"]}, x, strict=True)
    with pytest.raises(errors.ArgumentError, match="several dicts"):
        func.functional_call(net, (state, state), x)
    with pytest.raises(errors.OperandError, match="must be a Tensor"):
        func.functional_call(net, {"0.weight": 1}, x)
    net[0].tied = net[0].weight
    tied = func.functional_call(net[0], {"weight": state["0.weight"]}, x)
    np.testing.assert_allclose(tied.detach().numpy(), np.broadcast_to(before["0.bias"], (3, 2)), **CLOSE)
    with pytest.raises(errors.ArgumentError, match="one Tensor"):
        func.functional_call(net[0], {"weight": state["0.weight"], "tied": state["0.weight"] + 1}, x)


def _compiled_programs():
    def meta(x, w):
        adapted = w - 0.1 * func.grad(lambda w: ((x @ w).sin() ** 2).sum())(w)
        return (x @ adapted).sum()

    return {
        "grad": lambda x, w: func.grad(lambda x: (x @ w).sin().sum())(x),
        "per sample": lambda x, w: func.vmap(func.grad(lambda r, w: (r @ w).sin().sum()), (0, None))(x, w),
        "hessian": lambda x, w: func.hessian(lambda r: (r @ w).sin().sum())(x[0]),
        "jvp": lambda x, w: func.jvp(lambda x: (x @ w).tanh(), (x,), (x,))[1],
        "meta": lambda x, w: func.grad(meta, argnums=1)(x, w),
        "jacrev of vmap": lambda x, w: func.jacrev(func.vmap(lambda r: (r @ w).exp().sum()))(x),
    }


def _compiled_equals_eager(name):
    program = _compiled_programs()[name]
    x, w = un.tensor(_X[0]), un.tensor(_Y)
    expected = program(x, w)
    compiled = un.compile(program)
    for _ in range(2):
        np.testing.assert_allclose(compiled(x, w).numpy(), expected.numpy(), **CLOSE)


@pytest.mark.parametrize("name", ["per sample"])
def test_inside_compile_on_torch(name):
    with un.backend("torch"):
        _compiled_equals_eager(name)


@pytest.mark.full
@pytest.mark.parametrize("name", list(_compiled_programs()))
def test_all_inside_compile_on_torch(name):
    test_inside_compile_on_torch(name)


@pytest.mark.parametrize("name", list(_compiled_programs()))
@pytest.mark.parametrize("elsewhere", ["jax", "tensorflow"])
def test_inside_compile(elsewhere, name):
    with un.backend(elsewhere):
        _compiled_equals_eager(name)


@pytest.mark.parametrize("elsewhere", ["jax", "tensorflow", pytest.param("torch", marks=pytest.mark.full)])
def test_a_compiled_training_step_through_transforms(elsewhere):
    """Parameters that the step captures get the gradients of a loss made of func's."""
    with un.backend(elsewhere):
        grads = []
        for wrapper in (lambda f: f, un.compile):
            un.manual_seed(0)
            layer, x = nn.Linear(3, 3), un.tensor(_X[0])
            optimizer = un.optim.SGD(layer.parameters(), lr=0.1)

            def step(x, layer=layer, optimizer=optimizer):
                optimizer.zero_grad()
                rows = func.vmap(func.grad(lambda r: layer(r).sin().sum()))(x)
                loss = (rows * rows).sum()
                loss.backward()
                optimizer.step()
                return loss

            stepping = wrapper(step)
            losses = [stepping(x).item() for _ in range(3)]
            grads.append((losses, layer.weight.detach().numpy().copy()))
        np.testing.assert_allclose(grads[0][0], grads[1][0], **CLOSE)
        np.testing.assert_allclose(grads[0][1], grads[1][1], **CLOSE)


@pytest.mark.parametrize("elsewhere", ["jax", "tensorflow", pytest.param("torch", marks=pytest.mark.full)])
def test_transforms_of_a_compiled_function(elsewhere):
    with un.backend(elsewhere):
        x = un.tensor(_X[0])
        compiled = un.compile(lambda x: (x.sin() * x).sum())
        expected = (x.cos() * x + x.sin()).numpy()
        np.testing.assert_allclose(func.grad(compiled)(x).numpy(), expected, **CLOSE)
        np.testing.assert_allclose(func.vmap(func.grad(compiled))(x).numpy(), expected, **CLOSE)
        np.testing.assert_allclose(func.jvp(compiled, (x,), (x,))[1].item(), (expected * _X[0]).sum(), **CLOSE)

"""Modules of PyTorch, flax and Keras as ours, and ours as theirs: the module itself, without us, is the oracle.

Tolerance: 1e-5, as the kernels are the same; programs may fuse them.
"""

from __future__ import annotations

import copy
import gc
import weakref

import numpy as np
import pytest
import torch

import unified as un
from unified import errors, nn, optim

TOLERANCE = 1e-5
X = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)


def close(found: object, expected: object, what: str = "") -> None:
    found, expected = (
        np.asarray(v.detach() if isinstance(v, (un.Tensor, torch.Tensor)) else v) for v in (found, expected)
    )
    np.testing.assert_allclose(found, expected, TOLERANCE, TOLERANCE, err_msg=what)


# ---- PyTorch -------------------------------------------------------------------------------------------------


@pytest.fixture
def on_torch():
    with un.backend("torch"):
        yield


def torch_net() -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Linear(4, 5), torch.nn.BatchNorm1d(5), torch.nn.Dropout(0.0), torch.nn.Linear(5, 2)
    )


@pytest.mark.usefixtures("on_torch")
class TestFromTorch:
    def test_values_gradients_and_state(self) -> None:
        inner = torch_net()
        twin = copy.deepcopy(inner)
        model = nn.from_torch(inner)
        assert isinstance(model, nn.Module)
        assert list(model.state_dict()) == list(inner.state_dict())
        assert [n for n, _ in model.named_parameters()] == [n for n, _ in inner.named_parameters()]
        assert [n for n, _ in model.named_modules()] == [n for n, _ in inner.named_modules()]
        x, t = un.tensor(X).requires_grad_(), torch.tensor(X, requires_grad=True)
        y, s = model(x), twin(t)
        close(y, s)
        y.square().sum().backward()
        s.square().sum().backward()
        close(x.grad, t.grad)
        for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
            close(p.grad, q.grad, name)
        for name, value in twin.state_dict().items():
            close(model.state_dict()[name], value, name)
            close(inner.state_dict()[name], value, name)

    def test_both_optimizers_train_the_same_weights(self) -> None:
        inner = torch_net()
        twin = copy.deepcopy(inner)
        model = nn.from_torch(inner)
        options = {
            "lr": 0.1,
            "eps": 1e-3,
        }  # a bias before batch norm has rounding noise for a gradient: not scaled up
        ours, theirs = optim.AdamW(model.parameters(), **options), torch.optim.SGD(inner.parameters(), lr=0.1)
        first, second = torch.optim.AdamW(twin.parameters(), **options), torch.optim.SGD(twin.parameters(), lr=0.1)
        for _ in range(2):
            for optimizer, reference, call, data in (
                (ours, first, model, un.tensor(X)), (theirs, second, inner, torch.tensor(X)),
            ):  # fmt: skip
                optimizer.zero_grad()
                call(data).square().sum().backward()
                optimizer.step()
                reference.zero_grad()
                twin(torch.tensor(X)).square().sum().backward()
                reference.step()
                for p, q, r in zip(model.parameters(), inner.parameters(), twin.parameters(), strict=True):
                    close(p, r)
                    close(q, r)

    def test_state_is_loaded_on_either_side(self) -> None:
        inner, other = torch_net(), torch_net()
        model = nn.from_torch(inner)
        model.load_state_dict(other.state_dict())
        close(inner(torch.tensor(X)), other(torch.tensor(X)))
        third = torch_net()
        inner.load_state_dict(third.state_dict())
        close(model(un.tensor(X)), third(torch.tensor(X)))
        with torch.no_grad():
            inner[0].weight.fill_(1.0)
        assert (model.get_parameter("0.weight").detach().numpy() == 1).all()
        inner[0].weight.data = torch.zeros(5, 4)
        assert (model.get_parameter("0.weight").detach().numpy() == 0).all()
        model.get_parameter("0.bias").data.fill_(2.0)
        assert (inner[0].bias == 2).all()

    def test_modes_dtypes_and_freezing_are_handed_on(self) -> None:
        inner = torch_net()
        inner[3].requires_grad_(False)
        inner[1].eval()
        model = nn.from_torch(inner)
        assert [p.requires_grad for p in model.parameters()] == [True] * 4 + [False] * 2
        assert not model.get_submodule("1").training
        model.train()
        assert inner[1].training
        model.eval()
        assert not any(module.training for module in inner.modules())
        model.get_submodule("1").train()
        assert inner[1].training
        assert not inner.training
        model.double()
        assert inner[0].weight.dtype is torch.float64
        assert model(un.tensor(X, dtype=un.float64)).dtype is un.float64

    def test_arguments_and_results_are_nested(self) -> None:
        class Net(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = torch.nn.Parameter(torch.ones(4))
                self.tied = self.weight

            def forward(self, pair, scale=1.0, *, extra=None):
                out = {"sum": pair[0] * self.weight + pair[1]["x"], "scale": scale, "none": None}
                return out, [out["sum"] * self.tied * scale] if extra is None else (extra,)

        model = nn.from_torch(Net())
        assert len(list(model.parameters())) == 1
        x = un.tensor(X)
        out, (scaled,) = model((x, {"x": x}), 3.0)
        assert (out["scale"], out["none"]) == (3.0, None)
        close(out["sum"], 2 * X)
        close(scaled, 6 * X)
        scaled.sum().backward()
        close(model.weight.grad, (6 * X + 3 * X).sum(0))
        _, (extra,) = model((x, {"x": x}), extra=x)
        close(extra, X)

    def test_copies_are_apart(self) -> None:
        model = nn.from_torch(torch_net())
        model.get_parameter("0.bias").requires_grad_(False)
        twin = copy.deepcopy(model)
        assert not twin.get_parameter("0.bias").requires_grad
        twin.get_parameter("0.weight").data.zero_()
        assert (twin.inner[0].weight == 0).all()
        assert (model.inner[0].weight != 0).any()
        alone = copy.deepcopy(model.get_parameter("3.weight"))
        alone.data.zero_()
        assert (model.inner[3].weight != 0).any()
        assert isinstance(alone, nn.Parameter)

    def test_an_update_between_forward_and_backward_does_not_reach_the_graph(self) -> None:
        model = nn.from_torch(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1)))
        twin = copy.deepcopy(model.inner)
        loss = model(un.tensor(X)).sum()
        for param in model.parameters():
            param.data.zero_()
        loss.backward()
        twin(torch.tensor(X)).sum().backward()
        for p, q in zip(model.parameters(), twin.parameters(), strict=True):
            close(p.grad, q.grad)

    def test_transforms_see_through_it(self) -> None:
        model = nn.from_torch(torch.nn.Linear(4, 1))
        params = dict(model.named_parameters())

        def loss(p: dict, x: un.Tensor) -> un.Tensor:
            return un.func.functional_call(model, p, (x,)).square().sum()

        each = un.vmap(un.func.grad(loss), in_dims=(None, 0))(params, un.tensor(X))
        prediction = X @ model.inner.weight.detach().numpy().T + model.inner.bias.detach().numpy()
        close(each["weight"], (2 * prediction * X)[:, None, :])

    def test_a_compiled_step(self) -> None:
        inner = torch_net()
        twin = copy.deepcopy(inner)
        model = nn.from_torch(inner)
        optimizer, reference = optim.SGD(model.parameters(), lr=0.05), torch.optim.SGD(twin.parameters(), lr=0.05)

        @un.compile
        def step(x: un.Tensor) -> un.Tensor:
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        for _ in range(3):
            reference.zero_grad()
            loss = twin(torch.tensor(X)).square().mean()
            loss.backward()
            reference.step()
            close(step(un.tensor(X)), loss)
        for name, value in twin.state_dict().items():
            close(inner.state_dict()[name], value, name)

    def test_refusals(self) -> None:
        with pytest.raises(errors.OperandError, match=r"takes a torch.nn.Module, not Linear"):
            nn.from_torch(nn.Linear(2, 2))
        model = nn.from_torch(torch_net())
        with un.backend("jax"):
            x = un.tensor(X)
        with pytest.raises(
            errors.BackendMismatchError, match=r"Sequential is a module of torch.*on jax; move it with"
        ):
            model(x)
        with pytest.raises(errors.BackendError, match="shared with a module of torch cannot move to jax"):
            model.to(backend="jax")
        assert model.inner[0].weight.shape == (5, 4)
        with pytest.raises(errors.UnsupportedOpError, match="'1' is a part of a framework's own module"):
            model.get_submodule("1")(un.tensor(X))
        with pytest.raises(errors.OpError, match=r"native_module: the backend refused it: mat1 and mat2 shapes"):
            model(un.ones(2, 3))


def net_of_ours() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2))


@pytest.mark.usefixtures("on_torch")
class TestToTorch:
    def test_torch_trains_ours(self) -> None:
        model = net_of_ours()
        held = dict(model.named_parameters())
        exported = un.to_torch(model)
        twin = torch.nn.Sequential(
            torch.nn.Linear(4, 5), torch.nn.BatchNorm1d(5), torch.nn.Tanh(), torch.nn.Linear(5, 2)
        )
        assert isinstance(exported, torch.nn.Module)
        assert set(exported.state_dict()) == set(twin.state_dict())
        twin.load_state_dict(exported.state_dict())
        optimizer = torch.optim.SGD(exported.parameters(), lr=0.1)
        reference = torch.optim.SGD(twin.parameters(), lr=0.1)
        for _ in range(3):
            for net, stepper in ((exported, optimizer), (twin, reference)):
                stepper.zero_grad()
                net(torch.tensor(X)).square().mean().backward()
                stepper.step()
        for name, value in twin.state_dict().items():
            close(exported.state_dict()[name], value, name)
            close(model.state_dict()[name], value, name)
        assert all(held[name] is param for name, param in model.named_parameters())
        exported.eval()
        assert not model[1].training
        close(exported(torch.tensor(X)), twin.eval()(torch.tensor(X)))
        close(model(un.tensor(X)), twin(torch.tensor(X)))

    def test_a_step_of_ours_is_seen_there(self) -> None:
        model = net_of_ours()
        exported = un.to_torch(model)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        model(un.tensor(X)).square().sum().backward()
        optimizer.step()
        for name, param in exported.named_parameters():
            close(model.get_parameter(name), param, name)

    def test_nests_and_refusals(self) -> None:
        class Pair(nn.Module):
            def forward(self, inputs: dict, flag: bool = False) -> tuple:
                return inputs["x"] * 2, {"flag": flag}

        doubled, rest = un.to_torch(Pair())({"x": torch.tensor(X)}, flag=True)
        assert isinstance(doubled, torch.Tensor)
        assert rest == {"flag": True}
        with pytest.raises(errors.OperandError, match="takes a Module of unified, not Linear"):
            un.to_torch(torch.nn.Linear(2, 2))
        with un.backend("jax"):
            model = nn.Linear(2, 2)
        with pytest.raises(
            errors.ArgumentError, match=r"has Tensors on jax; move it with module.to\(backend='torch'\)"
        ):
            un.to_torch(model)


def test_what_is_wrapped_is_let_go() -> None:
    with un.backend("torch"):
        model = nn.from_torch(torch_net())
        model(un.tensor(X)).sum().backward()
        reference = weakref.ref(model.inner)
        del model
        gc.collect()
    assert reference() is None


# ---- flax ----------------------------------------------------------------------------------------------------


@pytest.fixture
def on_jax():
    with un.backend("jax"):
        yield


def flax_net(rate: float = 0.0):
    nnx = pytest.importorskip("flax.nnx", reason="the bridge is to flax; pip install flax lifts this")

    class Net(nnx.Module):
        def __init__(self, rngs) -> None:
            self.layers = nnx.List([nnx.Linear(4, 5, rngs=rngs), nnx.Linear(5, 2, rngs=rngs)])
            self.norm = nnx.BatchNorm(5, rngs=rngs)
            self.drop = nnx.Dropout(rate, rngs=rngs)

        def __call__(self, x):
            return self.layers[1](self.drop(nnx.tanh(self.norm(self.layers[0](x)))))

    return nnx, Net(nnx.Rngs(0))


def flax_step(nnx, inner, optimizer):
    """One step of flax's own way."""

    def loss(module):
        return (module(X) ** 2).mean()

    value, grads = nnx.value_and_grad(loss)(inner)
    optimizer.update(inner, grads)
    return value


@pytest.mark.usefixtures("on_jax")
class TestFromFlax:
    @pytest.mark.parametrize("compiled", [False, True])
    def test_training_is_flaxs(self, compiled: bool) -> None:
        import optax

        nnx, inner = flax_net(rate=0.5)
        twin = nnx.clone(inner)
        model = nn.from_flax(inner)
        names = [f"layers.{i}.{part}" for i in (0, 1) for part in ("bias", "kernel")]
        assert {n for n, _ in model.named_parameters()} == {"norm.bias", "norm.scale", *names}
        assert {n for n, _ in model.named_buffers()} == {"norm.mean", "norm.var", "drop.rngs.count", "drop.rngs.key"}
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        reference = nnx.Optimizer(twin, optax.sgd(0.1), wrt=nnx.Param)

        def step(x: un.Tensor) -> un.Tensor:
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        run = un.compile(step) if compiled else step
        for _ in range(3):
            close(run(un.tensor(X)), flax_step(nnx, twin, reference))
        expected = dict(nnx.to_flat_state(nnx.state(twin)))
        for path, variable in nnx.to_flat_state(nnx.state(inner)):
            if path[-1] == "key":
                continue
            close(variable.get_value(), expected[path].get_value(), str(path))
            close(model.state_dict()[".".join(map(str, path))], expected[path].get_value(), str(path))

    def test_modes_and_writes_on_either_side(self) -> None:
        _, inner = flax_net(rate=0.5)
        model = nn.from_flax(inner)
        assert model.training
        model.eval()
        assert inner.drop.deterministic
        close(model(un.tensor(X)), inner(X))
        assert not nn.from_flax(inner).training
        inner.layers[1].bias.set_value(np.full(2, 7, np.float32) + inner.layers[1].bias.get_value() * 0)
        close(model(un.tensor(X)), inner(X))
        model.get_parameter("layers.1.kernel").data.zero_()
        close(inner(X), np.full((6, 2), 7.0))
        state = model.state_dict()
        other = nn.from_flax(flax_net()[1])
        other.load_state_dict(state)
        close(other.eval()(un.tensor(X)), np.full((6, 2), 7.0))
        twin = copy.deepcopy(model)
        twin.get_parameter("layers.1.bias").data.zero_()
        close(model(un.tensor(X)), np.full((6, 2), 7.0))
        close(twin(un.tensor(X)), np.zeros((6, 2)))

    def test_compiled_results_carry_gradients(self) -> None:
        _, inner = flax_net()
        model = nn.from_flax(inner).eval()
        x, z = un.tensor(X).requires_grad_(), un.tensor(X).requires_grad_()
        model(x).square().sum().backward()
        un.compile(model)(z).square().sum().backward()
        close(z.grad, x.grad)

    def test_second_derivatives(self) -> None:
        import jax

        _, inner = flax_net()
        model = nn.from_flax(inner).eval()
        x = un.tensor(X[:1]).requires_grad_()
        (first,) = un.autograd.grad(model(x).sum(), x, create_graph=True)
        (second,) = un.autograd.grad(first.square().sum(), x)
        expected = jax.grad(lambda v: (jax.grad(lambda w: inner(w).sum())(v) ** 2).sum())(X[:1])
        close(second, expected)

    def test_refusals(self) -> None:
        _, inner = flax_net()
        with pytest.raises(errors.OperandError, match=r"takes an nnx.Module, not Linear"):
            nn.from_flax(nn.Linear(2, 2))
        model = nn.from_flax(inner)
        with un.backend("torch"):
            x = un.tensor(X)
        with pytest.raises(errors.BackendMismatchError, match=r"Net is a module of jax.*on torch"):
            model(x)


@pytest.mark.usefixtures("on_jax")
class TestToFlax:
    def test_flax_trains_ours(self) -> None:
        import optax

        nnx, _ = flax_net()
        model, twin = net_of_ours(), net_of_ours()
        twin.load_state_dict(model.state_dict())
        exported = un.to_flax(model)
        assert isinstance(exported, nnx.Module)
        optimizer = nnx.Optimizer(exported, optax.sgd(0.1), wrt=nnx.Param)
        reference = optim.SGD(twin.parameters(), lr=0.1)
        step = nnx.jit(lambda module, stepper: flax_step(nnx, module, stepper))
        for _ in range(3):
            reference.zero_grad()
            loss = twin(un.tensor(X)).square().mean()
            loss.backward()
            reference.step()
            close(step(exported, optimizer), loss)
        for name, value in twin.state_dict().items():
            close(model.state_dict()[name], value, name)
        exported.eval()
        assert not model.training
        close(exported(X), twin.eval()(un.tensor(X)))

    def test_dropout_moves_on_within_programs(self) -> None:
        import jax.numpy as jnp

        nnx, _ = flax_net()
        exported = un.to_flax(nn.Dropout(0.5))
        call = nnx.jit(lambda module, x: module(x))
        first, second = np.asarray(call(exported, jnp.ones((8, 8)))), np.asarray(call(exported, jnp.ones((8, 8))))
        assert set(np.unique(first)) == {0.0, 2.0}
        assert (first != second).any()
        assert un.rand(2).shape == (2,)

    def test_refusals(self) -> None:
        with un.backend("torch"):
            model = nn.Linear(2, 2)
        with pytest.raises(
            errors.ArgumentError, match=r"has Tensors on torch; move it with module.to\(backend='jax'\)"
        ):
            un.to_flax(model)


# ---- Keras ---------------------------------------------------------------------------------------------------


@pytest.fixture
def on_tensorflow():
    with un.backend("tensorflow"):
        yield


def keras_net(rate: float = 0.0):
    import keras

    class Plain(keras.layers.Layer):
        """Takes no ``training``, and has a layer that depends on it."""

        def build(self, shape) -> None:
            self.kernel = self.add_weight(shape=(shape[-1], 2), name="kernel")
            self.drop = keras.layers.Dropout(rate)
            self.built = True

        def call(self, x):
            return self.drop(x @ self.kernel)

    layers = keras.layers
    net = keras.Sequential([layers.Dense(5, activation="tanh"), layers.BatchNormalization(), Plain()])
    net.build((None, 4))
    return keras, net


@pytest.mark.usefixtures("on_tensorflow")
class TestFromKeras:
    @pytest.mark.parametrize("compiled", [False, True])
    def test_training_is_keras(self, compiled: bool) -> None:
        import tensorflow as tf

        _, inner = keras_net()
        _, twin = keras_net()
        twin.set_weights(inner.get_weights())
        model = nn.from_keras(inner)
        assert [n for n, _ in model.named_parameters()] == ["0.kernel", "0.bias", "1.gamma", "1.beta", "2.kernel"]
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def step(x: un.Tensor) -> un.Tensor:
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        run = un.compile(step) if compiled else step
        for _ in range(3):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(twin(X, training=True) ** 2)
            for variable, grad in zip(
                twin.trainable_variables, tape.gradient(loss, twin.trainable_variables), strict=True
            ):
                variable.assign_sub(0.1 * grad)
            close(run(un.tensor(X)), loss.numpy())
        for found, expected in zip(inner.get_weights(), twin.get_weights(), strict=True):
            close(found, expected)
        close(model.get_buffer("1.moving_mean"), twin.layers[1].moving_mean.numpy())

    def test_modes_and_writes_on_either_side(self) -> None:
        _, inner = keras_net(rate=0.5)
        model = nn.from_keras(inner)
        dropped = model(un.tensor(X)).detach().numpy()
        assert (dropped == 0).any()
        assert (dropped != model(un.tensor(X)).detach().numpy()).any()
        model.eval()
        close(model(un.tensor(X)), inner(X, training=False).numpy())
        inner.layers[0].bias.assign(np.full(5, 0.3, np.float32))
        close(model(un.tensor(X)), inner(X, training=False).numpy())
        model.get_parameter("2.kernel").data.zero_()
        close(inner(X, training=False).numpy(), np.zeros((6, 2)))
        other = nn.from_keras(keras_net()[1])
        other.load_state_dict({k: v for k, v in model.state_dict().items() if "seed" not in k}, strict=False)
        close(other.eval()(un.tensor(X)), np.zeros((6, 2)))

    def test_gradients_of_a_drop_are_those_of_its_mask(self) -> None:
        _, inner = keras_net(rate=0.5)
        model = nn.from_keras(inner)
        y = model(un.tensor(X))
        y.sum().backward()
        rows = inner.layers[1](inner.layers[0](X), training=True).numpy()
        close(model.get_parameter("2.kernel").grad, rows.T @ (2.0 * (y.detach().numpy() != 0)))

    def test_refusals(self) -> None:
        keras, inner = keras_net()
        with pytest.raises(errors.OperandError, match=r"takes a keras.Layer, not Linear"):
            nn.from_keras(nn.Linear(2, 2))
        with pytest.raises(errors.ArgumentError, match="has no variables yet; call it once"):
            nn.from_keras(keras.layers.Dense(3))
        with un.backend("torch"):
            x = un.tensor(X)
        with pytest.raises(errors.BackendMismatchError, match=r"Sequential is a module of tensorflow.*on torch"):
            nn.from_keras(inner)(x)

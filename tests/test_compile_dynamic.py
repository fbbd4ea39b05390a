"""Dynamic lengths: few programs for many lengths, the values of the eager path, and no padding in any of them."""

from __future__ import annotations

import numpy as np
import pytest

import unified as un
import unified.nn.functional as F
from unified import errors, nn, optim
from unified._dispatch import table
from unified.compile.rules import rules
from unified.models.gpt import GPT, GPTConfig

RNG = np.random.default_rng(0)
CLOSE = {"rtol": 1e-4, "atol": 2e-6}
"""Sums of up to 256 float32 terms: padding adds zeros, and the compilers another order."""

TIME = {"time": [8, 16]}


def ids(*shape: int, below: int = 20) -> un.Tensor:
    return un.tensor(RNG.integers(0, below, shape), dtype=un.int32)


def reals(*shape: int) -> un.Tensor:
    return un.tensor(RNG.normal(size=shape), dtype=un.float32)


def programs(compiled) -> int:
    return int(compiled.explain().split(": ")[1].split()[0])


def close(got, expected) -> None:
    if isinstance(expected, (tuple, list)):
        for one, other in zip(got, expected, strict=True):
            close(one, other)
        return
    assert tuple(got.shape) == tuple(expected.shape)
    assert got.dtype is expected.dtype
    np.testing.assert_allclose(got.detach().numpy(), expected.detach().numpy(), **CLOSE)


# ---- models ------------------------------------------------------------------------------------------------------


class Classifier(nn.Module):
    """Embedding, mean over time, a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.layer = nn.Linear(8, 3)

    def forward(self, tokens):
        return self.layer(self.embedding(tokens).mean(1))


class Convolutional(nn.Module):
    """Two 1-d convolutions over time, and the largest value."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 6)
        self.first = nn.Conv1d(6, 8, 3, padding=1)
        self.second = nn.Conv1d(8, 3, 2)
        self.norm = nn.LayerNorm(8)

    def forward(self, tokens):
        x = F.gelu(self.first(self.embedding(tokens).transpose(1, 2)))
        x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return self.second(x).amax(-1)


class Decaying(nn.Module):
    """A recurrence ``h = decay * h + x`` in closed form: a scan by cumulative sums."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 5)
        self.decay = nn.Parameter(un.full((5,), 0.05))
        self.layer = nn.Linear(5, 3)

    def forward(self, tokens):
        steps = un.arange(tokens.shape[1]).unsqueeze(1) * self.decay
        states = (self.embedding(tokens) * steps.exp()).cumsum(1) * (-steps).exp()
        return self.layer(states[:, -1])


class Normalized(nn.Module):
    """Batch norm, whose statistics are those of the real places, running ones too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 6)
        self.norm = nn.BatchNorm1d(6)
        self.layer = nn.Linear(6, 3)

    def forward(self, tokens):
        return self.layer(self.norm(self.embedding(tokens).transpose(1, 2)).relu().mean(-1))


def language_model() -> GPT:
    return GPT(GPTConfig(vocabulary=20, width=8, layers=1, heads=2, context=256))


def token_loss(model, tokens, targets):
    return F.cross_entropy(model(tokens).reshape(-1, 20), targets.reshape(-1))


def class_loss(model, tokens, targets):
    return F.cross_entropy(model(tokens), targets)


MODELS = {
    "classifier": (Classifier, class_loss),
    "convolution": (Convolutional, class_loss),
    "recurrence": (Decaying, class_loss),
    "batch norm": (Normalized, class_loss),
    "gpt": (language_model, token_loss),
}


def batch(name: str, length: int) -> tuple[un.Tensor, un.Tensor]:
    return ids(2, length), ids(2, length) if name == "gpt" else un.tensor([2, 1], dtype=un.int32)


def layout(name: str) -> dict[str, dict[int, str]]:
    return {"tokens": {1: "time"}, **({"targets": {1: "time"}} if name == "gpt" else {})}


def _slow_on_torch(names):
    """Every name on every backend; those for which inductor takes 20 s and more are left to `make test-full`."""
    for backend in ("torch", "jax", "tensorflow"):
        for name in names:
            slow = backend == "torch" and name != "classifier"
            yield pytest.param(backend, name, marks=[pytest.mark.full] if slow else [])


@pytest.mark.parametrize(("backend", "name"), list(_slow_on_torch(MODELS)), indirect=["backend"])
def test_training_steps_see_no_padding(backend, name):
    """Two runs from one seed, eager and compiled, on batches of two lengths in one bucket."""
    make, loss_of = MODELS[name]
    runs = []
    for path in ("eager", "compiled"):
        un.manual_seed(0)
        model = make()
        optimizer = optim.SGD(model.parameters(), lr=0.05)

        def step(tokens, targets, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = loss_of(model, tokens, targets)
            loss.backward()
            optimizer.step()
            return loss

        run = un.compile(step, dynamic=layout(name), buckets={"time": [12]}) if path == "compiled" else step
        runs.append((model, run))
    for length in (5, 11):
        tokens, targets = batch(name, length)
        close(runs[1][1](tokens, targets), runs[0][1](tokens, targets))
        for ours, theirs in zip(runs[1][0].parameters(), runs[0][0].parameters(), strict=True):
            close(ours.grad, theirs.grad)
            close(ours, theirs)
        for ours, theirs in zip(runs[1][0].buffers(), runs[0][0].buffers(), strict=True):
            close(ours, theirs)
    assert programs(runs[1][1]) == 1


@pytest.mark.full
@pytest.mark.parametrize("name", MODELS)
def test_a_stream_of_200_lengths_is_at_most_10_programs(backend, name):
    """Losses and gradients of all; four are compared, since eager JAX compiles every op for every length."""
    make, loss_of = MODELS[name]
    model = make()

    def step(tokens, targets):
        model.zero_grad()
        loss = loss_of(model, tokens, targets)
        loss.backward()
        return loss

    compiled = un.compile(step, dynamic=layout(name), buckets={"time": [64, 256]} if backend == "torch" else None)
    lengths = np.random.default_rng(2).permutation(np.arange(2, 202))
    for index, length in enumerate(lengths):
        tokens, targets = batch(name, int(length))
        loss = compiled(tokens, targets)
        found = [param.grad for param in model.parameters()]
        if index % 50 == 0:
            close(loss, step(tokens, targets))
            close(found, [param.grad for param in model.parameters()])
    assert programs(compiled) == (2 if backend == "torch" else 6)  # 8, 16, 32, 64, 128, 256


def test_200_lengths_compile_at_most_10_programs_inside_the_framework_too():
    """Counted by JAX itself, padding and cutting included."""
    import jax

    with un.backend("jax"):
        model = Classifier()
        compiled = un.compile(lambda tokens: (model(tokens).detach(), tokens + 1), dynamic={"tokens": {1: "time"}})
        eager = [(model(tokens).detach(), tokens + 1) for tokens in (ids(2, n) for n in (2, 3))]
        assert eager
        compiled(ids(2, 100))
        events = []
        jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: events.append(name))
        try:
            for length in range(2, 202):
                _, shifted = compiled(ids(2, length))
                assert tuple(shifted.shape) == (2, length)
        finally:
            jax.monitoring.clear_event_listeners()
        assert sum("backend_compile" in name for name in events) <= 10
        assert programs(compiled) == 6


def test_batch_and_time_are_dynamic_together(backend):
    weight = reals(4, 3)

    def f(x, mask):
        h = un.where(mask.unsqueeze(-1), x @ weight, 0.0)
        return h.sum((0, 1)), h.mean(), (h - h.mean((0, 1), keepdim=True)).square().sum(), h

    layout = {"x": {0: "batch", 1: "time"}, "mask": {0: "batch", -1: "time"}}
    compiled = un.compile(f, dynamic=layout, buckets={"batch": [4], "time": [8]})
    for batch, time in ((2, 3), (3, 7), (4, 8)):
        x, mask = reals(batch, time, 4), un.tensor(RNG.random((batch, time)) > 0.3)
        close(compiled(x, mask), f(x, mask))
    assert programs(compiled) == 1
    with pytest.raises(errors.DynamicLengthError, match="batch is 5, but its largest bucket is 4"):
        compiled(reals(5, 3, 4), un.ones(5, 3).bool())


def test_another_bucket_is_another_program_and_says_so(backend):
    compiled = un.compile(lambda x: x * 2, dynamic={"x": {0: "time"}}, buckets=TIME)
    for length in (5, 11, 16, 8):
        x = reals(length, 2)
        close(compiled(x), x * 2)
    assert programs(compiled) == 2
    assert "time came from the bucket of 2 to 8 to that of 9 to 16" in compiled.explain()


def test_lengths_of_0_and_1_are_programs_of_their_own(backend):
    def f(x):
        return x.sum(0), x + un.ones(1)

    compiled = un.compile(f, dynamic={"x": {0: "time"}}, buckets=TIME)
    for length in (1, 0, 5, 1, 7, 0):
        x = reals(length)
        close(compiled(x), f(x))
    assert programs(compiled) == 3


def test_nested_arguments_and_results(backend):
    def f(batch, scale):
        return {"y": batch["pair"][0] * scale, "n": batch["pair"][1]}

    compiled = un.compile(f, dynamic={"batch['pair'][0]": {0: "time"}}, buckets=TIME)
    for length in (3, 6):
        x = reals(length, 2)
        got = compiled({"pair": (x, 7)}, 0.5 * length)
        close(got["y"], x * (0.5 * length))
        assert got["n"] == 7
    assert programs(compiled) == 1


# ---- ops ---------------------------------------------------------------------------------------------------------

_IDS = np.random.default_rng(3).integers(0, 5, 16)

CASES = {
    "sum": lambda x: (x.sum(), x.sum(1), x.sum((0, -1), keepdim=True), (x > 0).sum(1)),
    "mean": lambda x: (x.mean(), x.mean(1), x.mean(-1), x.mean((1, 2), keepdim=True)),
    "table": lambda x: (x + un.arange(64.0).reshape(16, 4)[: x.shape[1]], un.arange(20.0)[1 : x.shape[1] - 1].sum()),
    "global pooling": lambda x: (F.adaptive_avg_pool1d(x.transpose(1, 2), 1), F.adaptive_avg_pool2d(x[None], 1)),
    "var": lambda x: (x.var(1), x.std(), un.var_mean(x, 1)[0], x.var(-1)),
    "prod": lambda x: (x.prod(1),),
    "extremes": lambda x: (x.amax(1), x.amin((0, 1)), x.max(), x.min(1)[0], x.max(1)[1], x.argmax(1), x.argmin(1)),
    "any": lambda x: ((x > 1.5).any(1), (x < 9).all(1), (x > 0).any(), (x > -9).all()),
    "counts": lambda x: (un.count_nonzero(x > 0, 1),),
    "logsumexp": lambda x: (x.logsumexp(1), x.logsumexp((0, 1))),
    "softmax": lambda x: (x.softmax(1), x.log_softmax(1), x.softmax(-1), x.log_softmax(0)),
    "norm": lambda x: (x.norm(), F.normalize(x, dim=1)),
    "cumsum": lambda x: (x.cumsum(1), x.cumsum(-1), x.cumprod(1)),
    "topk": lambda x: (x.topk(2, 1)[0], x.topk(2, 1, largest=False)[1]),
    "elementwise": lambda x: (x.exp() * 2 + x / 3, x.clamp(-1, 1), un.where(x > 0, x, 0.0), F.gelu(x), -x, x**2),
    "broadcast": lambda x: (x + un.ones(4), x * x[:, :1], x - x.mean(1, keepdim=True), x + x[0]),
    "by the length": lambda x: (x / x.shape[1], x.sum(1) / x.shape[1] ** 0.5, x * (1 / x.shape[1]), x + x.numel()),
    "reshape": lambda x: (
        x.reshape(x.shape[0] * x.shape[1], 4), x.reshape(-1, 2), x.flatten(1), x.reshape(3, -1).sum(1),
        x.reshape(-1).mean(), x.reshape(x.shape[0], x.shape[1], 2, 2).transpose(1, 2).reshape(6, -1, 2).sum(1),
    ),
    "merged": lambda x: (
        x.flatten(0, 1).sum(0), x.flatten(0, 1).softmax(0), x.flatten().amax(), x.flatten(1).mean(1),
    ),
    "permute": lambda x: (x.permute(2, 1, 0), x.transpose(0, 1), x.transpose(1, 2).sum(-1), x.movedim(1, 0)),
    "dims": lambda x: (
        x.unsqueeze(1).sum(2), x.unsqueeze(-1).squeeze(-1), x[:, None], x[..., 0], x[:, :, None].sum(1),
    ),
    "expand": lambda x: (
        x[:, :, :1].expand(-1, -1, 3), un.ones(1, 4).expand(x.shape[1], 4).sum(0), un.ones(4).expand_as(x),
    ),
    "subscripts": lambda x: (
        x[:, 1:], x[:, :-1], x[:, 1:-1].sum(1), x[:, -1], x[:, 0], x[1], x[:, :, 1:3], x[0:2, -2], x[:, :2],
    ),
    "slices": lambda x: ((x[:, 1:] - x[:, :-1]).square().mean(), x[:, : x.shape[1]], x.narrow(2, 1, 2)),
    "making": lambda x: (
        un.arange(x.shape[1]) * 2, un.zeros(x.shape[1], 2) + 1, un.full(x.shape[:2], 2.0).sum(),
        un.ones_like(x).sum(1),
    ),
    "triangles": lambda x: (
        un.ones(x.shape[1], x.shape[1]).tril().sum(0), (x @ x.transpose(1, 2)).triu(1).sum((1, 2)),
        un.where(un.arange(x.shape[1])[:, None] >= un.arange(x.shape[1]), 1.0, 0.0).sum(1),
    ),
    "products": lambda x: (
        x @ x.transpose(1, 2) @ x, x.transpose(1, 2) @ x, x @ un.ones(4, 2), (x[0].T @ x[0]), x[0] @ un.ones(4),
    ),
    "attention": lambda x: (
        F.scaled_dot_product_attention(x, x, x, is_causal=True), F.scaled_dot_product_attention(x, x, x)[:, -1],
    ),
    "convolution": lambda x: (
        F.conv1d(x.transpose(1, 2), un.ones(2, 4, 3), padding=1),
        F.conv1d(x.transpose(1, 2), un.ones(2, 4, 2)).sum(-1),
        F.conv2d(x.unsqueeze(1), un.ones(1, 1, 3, 3), padding=(2, 1)),
    ),
    "norms": lambda x: (
        F.layer_norm(x, (4,)), F.rms_norm(x, (4,)), F.batch_norm(x.transpose(1, 2), None, None, training=True),
        F.batch_norm(x.transpose(0, 1), un.zeros(3), un.ones(3), training=True), F.instance_norm(x),
    ),
    "joining": lambda x: (
        un.cat([x, x * 2], -1), un.cat([un.ones(3, 1, 4), x], 1).sum(1), un.stack([x, -x]), x.chunk(2, -1)[1],
    ),
    "unbinding": lambda x: (x.unbind(0)[1], x.split(1, 0)[2].sum(1), x.unbind(-1)[0]),
    "losses": lambda x: (
        F.mse_loss(x, x * 2), F.l1_loss(x, x * 2, reduction="sum"), F.smooth_l1_loss(x, -x, reduction="none"),
        F.cross_entropy(x.transpose(1, 2), (x.sum(-1) > 0).to(un.int32)),
        F.binary_cross_entropy_with_logits(x, x.sigmoid()),
    ),
    "indices": lambda x: (
        x.gather(2, (x[:, :, :1] > 0).to(un.int32)), un.ones(5, 2).index_select(0, (x[0, :, 0] > 0).to(un.int32)),
        F.one_hot((x[:, :, 0] > 0).to(un.int32), 3).sum(1), x.gather(1, un.zeros(3, 1, 4, dtype=un.int32)),
    ),
    "casts": lambda x: (x.to(un.float16).mean(1), x.to(un.int32).sum(1), x.detach().clone().sum(), x.bool().sum(1)),
    "constants": lambda x: (x * un.tensor([1.0, 2.0, 3.0, 4.0]), (x + un.tensor(2)).sum(1)),
    "in place": lambda x: (x.clone().mul_(2).add_(1).sum(1), x.clone().masked_fill_(x > 0, 0.0).mean()),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backend_name", ["jax", pytest.param("tensorflow", marks=pytest.mark.full),
                                          pytest.param("torch", marks=pytest.mark.full)])  # fmt: skip
def test_ops_have_their_eager_values(backend_name, name):
    """The rules are the front end's own, so that one backend shows them; the others run in make test-full."""
    function = CASES[name]
    with un.backend(backend_name):
        compiled = un.compile(lambda x: function(x), dynamic={"x": {1: "time"}}, buckets={"time": [12]})
        for length in (3, 8, 12):
            x = reals(3, length, 4)
            got, expected = compiled(x), function(x)
            for one, other in zip(got, expected, strict=True):
                if other.dtype is un.float16:
                    np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=2e-3, atol=2e-3)
                else:
                    close(one, other)
        assert programs(compiled) == 1


@pytest.mark.parametrize("function", [
    lambda x, w: (x * w).log().sum(), lambda x, w: (x @ w.unsqueeze(1)).sqrt().mean(),
    lambda x, w: (x + w).norm(dim=-1).sum(), lambda x, w: (x / w).softmax(1)[:, -1].sum(),
    lambda x, w: (1 / (x * w).cumsum(1)).sum(), lambda x, w: ((x * w).sum(-1) ** 0.5).amax(1).sum(),
    lambda x, w: (F.conv1d((x * w).transpose(1, 2), un.ones(1, 4, 2)).log() * 2).mean(),
])  # fmt: skip
def test_gradients_stay_finite_where_padding_would_have_none(function):
    """Functions whose derivative is infinite at 0, which padding must not reach the parameters through."""
    with un.backend("jax"):
        w = un.tensor(RNG.random(4) + 0.5, dtype=un.float32, requires_grad=True)

        def step(x):
            w.grad = None
            function(x, w).backward()

        compiled = un.compile(step, dynamic={"x": {1: "time"}}, buckets={"time": [12]})
        for length in (3, 12):
            x = un.tensor(RNG.random((2, length, 4)) + 0.5, dtype=un.float32)
            compiled(x)
            got = w.grad
            step(x)
            close(got, w.grad)


def test_every_rule_is_of_an_op():
    assert set(rules) <= set(table)


# ---- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.sort(1)[0], "sort: nobody has written down"),
        (lambda x: x.flip(1), "flip: nobody has written down"),
        (lambda x: F.dropout(x, 0.5), "dynamic"),
        (lambda x: [x[:, t] for t in range(x.shape[1])], "needs the value of the dynamic length time"),
        (lambda x: un.map(lambda row: row * 2, x.transpose(0, 1)), "needs the value of the dynamic length time"),
        (lambda x: x if x.shape[1] > 5 else x * 2, "time > 5 needs the value of .* which is 2 to 8"),
        (lambda x: x.reshape(x.shape[1] * x.shape[1], -1), "product of dynamic lengths"),
        (lambda x: x.reshape(4, -1, 3), "reshape: that shape is not possible"),
        (lambda x: x + un.ones(5, 1), "add: whether these shapes broadcast depends"),
        (lambda x: x[:, 2], "index: the position 2"),
        (lambda x: x[:, :3], r"index: a slice other than \[a:\]"),
        (lambda x: x[:, ::2], r"index: a slice other than \[a:\]"),
        (lambda x: un.cat([x, x], 1), "cat: joining anything behind"),
        (lambda x: F.max_pool1d(x.transpose(1, 2), 2), "dynamic"),
        (lambda x: F.conv1d(x.transpose(1, 2), un.ones(1, 4, 2), stride=2), "conv1d: a stride"),
        (lambda x: F.conv1d(x.transpose(1, 2), un.ones(1, 4, 5)), "conv1d: a kernel that is longer"),
        (lambda x: x[:, 3:], "index: leaving out 3"),
        (lambda x: x + un.ones(5, 4)[: x.shape[1]], "index: a slice to time of a dimension of 5, .*end one there"),
        (lambda x: x @ un.ones(3, 5, 4).transpose(1, 2) @ x, "matmul: a product of different lengths"),
        (lambda x: x.shape[1], "returns the dynamic length time"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_by_name(backend, function, message):
    compiled = un.compile(lambda x: function(x), dynamic={"x": {1: "time"}}, buckets=TIME)
    with pytest.raises(errors.DynamicLengthError, match=message):
        compiled(reals(3, 4, 4))
    assert programs(compiled) == 0


def test_state_does_not_take_a_dynamic_shape(backend):
    held = un.zeros(3, 4, 4)
    compiled = un.compile(lambda x: held.copy_(x), dynamic={"x": {1: "time"}}, buckets=TIME)
    with pytest.raises((errors.DynamicLengthError, errors.ShapeError)):
        compiled(reals(3, 4, 4))
    np.testing.assert_array_equal(held.numpy(), np.zeros((3, 4, 4)))
    compiled = un.compile(lambda x: x.mul_(2).sum(), dynamic={"x": {1: "time"}}, buckets=TIME)
    with pytest.raises(errors.DynamicLengthError, match="is written to a Tensor from outside"):
        compiled(reals(3, 4, 4))
    x = reals(3, 4, 4).requires_grad_()
    with pytest.raises(errors.DynamicLengthError, match="an argument with a dynamic dimension requires grad"):
        un.compile(lambda x: x.sum(), dynamic={"x": {1: "time"}})(x)
    weight = reals(4).requires_grad_()
    with pytest.raises(errors.DynamicLengthError, match="still requires grad"):
        un.compile(lambda x: x * weight, dynamic={"x": {1: "time"}})(reals(3, 4, 4))


def test_bad_options_are_refused(backend):
    def f(x, y):
        return x

    with pytest.raises(errors.ArgumentError, match="f has no parameter 'z', which dynamic= names"):
        un.compile(f, dynamic={"z": {0: "time"}})
    with pytest.raises(errors.ArgumentError, match="buckets= names 'length', which is no dimension"):
        un.compile(f, dynamic={"x": {0: "time"}}, buckets={"length": [8]})
    with pytest.raises(errors.ArgumentError, match="must be positive ints"):
        un.compile(f, dynamic={"x": {0: "time"}}, buckets={"time": [0]})
    for dynamic in ({"x": 0}, {"x": ["time"]}, "x", {"x": {"time": 0}}):
        with pytest.raises(errors.OperandError, match="dynamic= names dimensions by argument"):
            un.compile(f, dynamic=dynamic)
    with pytest.raises(errors.ArgumentError, match="dynamic= is not given"):
        un.compile(f, buckets={"time": [8]})
    with pytest.raises(errors.OperandError, match="static_argnames= is a parameter's name"):
        un.compile(f, static_argnames=3)
    with pytest.raises(errors.OperandError, match="takes a function, a Module or a bound method, not int"):
        un.compile(3)
    compiled = un.compile(f, dynamic={"x": {0: "time"}, "y": {0: "time"}}, buckets=TIME)
    with pytest.raises(errors.ShapeError, match="'time' is 3 in one Tensor, 4 in another"):
        compiled(reals(3), reals(4))
    with pytest.raises(errors.DynamicLengthError, match="time is 17, but its largest bucket is 16"):
        compiled(reals(17), reals(17))
    with pytest.raises(errors.ShapeError, match=r"names dimension 1 of a Tensor of shape \(3,\)"):
        un.compile(f, dynamic={"x": {1: "time"}})(reals(3), reals(3))


def test_what_debug_shows_has_no_padding(backend, capsys):
    def f(x):
        un.debug.print("{} of {}, twice {twice}", x, x.shape[0], twice=x[None] * un.tensor([[1], [1]]))
        un.debug.check(x.sum() < 9, "{} are too many", x.shape[0])
        return x.sum()

    for way in (un.disable_compile()(f), un.compile(f, dynamic={"x": {0: "time"}})):
        way(un.arange(3))
        assert capsys.readouterr().out == "[0 1 2] of 3, twice [[0 1 2]\n [0 1 2]]\n"
        with pytest.raises(errors.CheckError, match="5 are too many"):
            way(un.arange(5))
        assert "of 5" in capsys.readouterr().out

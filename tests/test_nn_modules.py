"""Modules against torch.nn: state, outputs and gradients, names, reprs, hooks, and refusals.

Tolerance: as in test_nn_functional; multi-head attention chains five products, hence 5e-5.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch

import unified as un
from unified import errors, nn

TOLERANCE = 5e-5

LAYERS: dict[str, tuple[str, tuple, dict, tuple[int, ...]]] = {
    "linear": ("Linear", (4, 3), {}, (5, 4)),
    "linear without bias": ("Linear", (4, 3), {"bias": False}, (5, 4)),
    "conv1d": ("Conv1d", (3, 6, 3), {"stride": 2, "groups": 3}, (2, 3, 9)),
    "conv2d": ("Conv2d", (3, 4, (3, 2)), {"padding": 1, "dilation": 2, "bias": False}, (2, 3, 7, 6)),
    "conv2d reflecting": ("Conv2d", (3, 4, 3), {"padding": 1, "padding_mode": "reflect"}, (2, 3, 5, 6)),
    "conv3d": ("Conv3d", (2, 4, 2), {"padding": "same"}, (1, 2, 4, 4, 4)),
    "batch norm 1d": ("BatchNorm1d", (4,), {}, (6, 4)),
    "batch norm 2d": ("BatchNorm2d", (4,), {"momentum": 0.3, "eps": 1e-3}, (3, 4, 2, 2)),
    "batch norm averaging": ("BatchNorm1d", (4,), {"momentum": None}, (6, 4, 3)),
    "batch norm without statistics": ("BatchNorm2d", (4,), {"track_running_stats": False}, (3, 4, 2, 2)),
    "layer norm": ("LayerNorm", ((3, 4),), {}, (2, 3, 4)),
    "layer norm without bias": ("LayerNorm", (4,), {"bias": False}, (2, 3, 4)),
    "group norm": ("GroupNorm", (2, 4), {}, (2, 4, 5)),
    "rms norm": ("RMSNorm", (4,), {"eps": 1e-5}, (2, 4)),
    "max pool": ("MaxPool2d", (2,), {}, (2, 3, 6, 6)),
    "average pool": ("AvgPool2d", (3, 2, 1), {}, (2, 3, 6, 6)),
    "adaptive pool": ("AdaptiveAvgPool2d", (1,), {}, (2, 3, 6, 6)),
    "flatten": ("Flatten", (), {}, (2, 3, 4)),
    "unflatten": ("Unflatten", (1, (2, 3)), {}, (2, 6)),
    "gelu": ("GELU", ("tanh",), {}, (2, 3)),
    "relu": ("ReLU", (), {"inplace": True}, (2, 3)),
    "elu": ("ELU", (0.5,), {}, (2, 3)),
    "softmax": ("Softmax", (1,), {}, (2, 3)),
    "glu": ("GLU", (), {}, (2, 4)),
    "identity": ("Identity", (), {}, (2, 4)),
    "dropout": ("Dropout", (0.0,), {}, (2, 4)),
}


def pair(name: str, *args: object, **options: object) -> tuple[nn.Module, torch.nn.Module]:
    """Ours and torch's, with torch's state."""
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    report = ours.load_state_dict(theirs.state_dict())
    assert repr(report) == "<All keys matched successfully>"
    return ours, theirs


def close(ours: un.Tensor, theirs: torch.Tensor, what: str = "") -> None:
    actual, expected = ours.detach().numpy(), theirs.detach().numpy()
    assert actual.shape == expected.shape, what
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE, err_msg=what)


@pytest.mark.parametrize("case", LAYERS)
def test_layer_equals_torchs(backend: str, case: str) -> None:
    name, args, options, shape = LAYERS[case]
    ours, theirs = pair(name, *args, **options)
    assert repr(ours) == repr(theirs)
    rng = np.random.default_rng(0)
    array = rng.standard_normal(shape).astype(np.float32)
    for training in (True, True, False):
        x, t = un.tensor(array).requires_grad_(), torch.tensor(array).requires_grad_()
        t_in = t.clone() if options.get("inplace") else t
        y, s = ours.train(training)(x), theirs.train(training)(t_in)
        close(y, s, "output")
        cotangent = rng.standard_normal(tuple(s.shape)).astype(np.float32)
        ours.zero_grad()
        theirs.zero_grad()
        (y * un.tensor(cotangent)).sum().backward()
        (s * torch.tensor(cotangent)).sum().backward()
        close(x.grad, t.grad, "input's gradient")
        for (key, p), (expected, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
            assert key == expected
            close(p.grad, q.grad, key)
    for (key, value), (expected, held) in zip(ours.state_dict().items(), theirs.state_dict().items(), strict=True):
        assert key == expected
        close(value, held, key)


@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"kdim": 6, "vdim": 5}], ids=str)
def test_multihead_attention(backend: str, options: dict) -> None:
    ours, theirs = pair("MultiheadAttention", 8, 2, **options)
    rng = np.random.default_rng(0)
    lengths = ((2, 4), (2, 3)) if options.get("batch_first") else ((4, 2), (3, 2))
    q = rng.standard_normal((*lengths[0], 8)).astype(np.float32)
    k = rng.standard_normal((*lengths[1], options.get("kdim", 8))).astype(np.float32)
    v = rng.standard_normal((*lengths[1], options.get("vdim", 8))).astype(np.float32)
    padding = np.array([[False, False, True], [False, False, False]])
    mask = np.triu(np.ones((4, 3), bool), 2)
    for call in (
        {}, {"need_weights": False}, {"average_attn_weights": False},
        {"key_padding_mask": padding, "attn_mask": mask}, {"attn_mask": mask, "need_weights": False},
    ):  # fmt: skip
        our_call = {key: un.tensor(x) if isinstance(x, np.ndarray) else x for key, x in call.items()}
        their_call = {key: torch.tensor(x) if isinstance(x, np.ndarray) else x for key, x in call.items()}
        out, weights = ours(un.tensor(q), un.tensor(k), un.tensor(v), **our_call)
        expected, expected_weights = theirs(torch.tensor(q), torch.tensor(k), torch.tensor(v), **their_call)
        close(out, expected, str(list(call)))
        assert (weights is None) == (expected_weights is None)
        if weights is not None:
            close(weights, expected_weights, str(list(call)))
    ours.zero_grad()
    theirs.zero_grad()
    (out * out).sum().backward()
    (expected * expected).sum().backward()
    for (key, p), (_, held) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        close(p.grad, held.grad, key)


def test_embedding_module(backend: str) -> None:
    ours, theirs = pair("Embedding", 5, 3, padding_idx=1)
    indices = np.array([[0, 1], [4, 4]], np.int32)
    y, s = ours(un.tensor(indices)), theirs(torch.tensor(indices))
    close(y, s)
    y.sum().backward()
    s.sum().backward()
    close(ours.weight.grad, theirs.weight.grad)
    assert not nn.Embedding(5, 3, padding_idx=-1).weight.detach().numpy()[4].any()
    assert repr(ours) == repr(theirs)


def test_loss_modules(backend: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.1, 0.9, (2, 3, 4)).astype(np.float32)
    for name in ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "BCELoss", "BCEWithLogitsLoss"):
        ours, theirs = getattr(nn, name)(reduction="sum"), getattr(torch.nn, name)(reduction="sum")
        close(ours(un.tensor(a), un.tensor(b)), theirs(torch.tensor(a), torch.tensor(b)), name)
        assert repr(ours) == repr(theirs)
    target = np.array([0, 3, 1], np.int32)
    weight = np.array([1, 2, 3, 4], np.float32)
    for name in ("CrossEntropyLoss", "NLLLoss"):
        ours, theirs = getattr(nn, name)(un.tensor(weight)), getattr(torch.nn, name)(torch.tensor(weight))
        close(ours(un.tensor(a), un.tensor(target)), theirs(torch.tensor(a), torch.tensor(target).long()), name)
        assert list(ours.state_dict()) == list(theirs.state_dict())


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.blocks = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)] + [nn.ReLU()])
        self.heads = nn.ModuleDict({"a": nn.Linear(2, 1)})
        self.scale = nn.Parameter(un.ones(2))
        self.register_buffer("seen", un.zeros(1))
        self.register_buffer("scratch", un.zeros(1), persistent=False)
        self.tied = self.blocks[0]


class TorchNet(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 3)
        self.blocks = torch.nn.ModuleList([torch.nn.Linear(2, 2) for _ in range(3)] + [torch.nn.ReLU()])
        self.heads = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 1)})
        self.scale = torch.nn.Parameter(torch.ones(2))
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)
        self.tied = self.blocks[0]


def test_names_are_torchs(backend: str) -> None:
    ours, theirs = Net(), TorchNet()
    assert repr(ours).replace("Net(", "TorchNet(", 1) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for walk in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert [n for n, _ in getattr(ours, walk)()] == [n for n, _ in getattr(theirs, walk)()], walk
    assert [n for n, _ in ours.named_parameters(remove_duplicate=False)] == [
        n for n, _ in theirs.named_parameters(remove_duplicate=False)
    ]
    assert ours.get_parameter("blocks.1.bias") is ours.blocks[1].bias
    assert ours.get_submodule("heads.a") is ours.heads["a"]
    assert ours.get_buffer("seen") is ours.seen


def test_sequential_and_module_list_are_lists() -> None:
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Identity()
    chain = nn.Sequential(a, b)
    chain.append(c)
    assert list(chain) == [a, b, c]
    assert chain[-1] is c
    assert list(chain[:2]) == [a, b]
    del chain[1]
    assert list(chain.state_dict()) == []
    assert [name for name, _ in chain.named_children()] == ["0", "1"]
    listed = nn.ModuleList([a])
    listed.insert(0, b)
    assert list(listed) == [b, a]
    assert listed.pop() is a
    with pytest.raises(IndexError):
        listed[5]


def test_attribute_rules(backend: str) -> None:
    module = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="cannot assign 'Tensor' object to parameter 'weight'"):
        module.weight = un.ones(2, 2)
    with pytest.raises(TypeError, match="object to parameter"):
        module.weight = 3
    module.extra = un.ones(1)
    assert "extra" not in module.state_dict()
    module.extra = nn.Parameter(un.ones(1))
    assert "extra" in module.state_dict()
    del module.extra
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'extra'"):
        _ = module.extra
    with pytest.raises(KeyError, match="already exists"):
        module.register_buffer("weight", un.ones(1))
    with pytest.raises(KeyError, match="contain"):
        module.register_parameter("a.b", None)
    module.child = nn.ReLU()
    with pytest.raises(TypeError, match="as child module"):
        module.child = 3
    with pytest.raises(TypeError, match="is not a Module subclass"):
        module.add_module("x", 3)

    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"cannot assign module before Module.__init__\(\) call"):
        Forgetful()
    with pytest.raises(NotImplementedError, match='missing the required "forward" function'):
        nn.Module()(1)


def test_parameter(backend: str) -> None:
    value = un.ones(2)
    param = nn.Parameter(value)
    assert param.requires_grad
    assert not value.requires_grad
    assert param.is_leaf
    assert repr(param).startswith("Parameter containing:\ntensor([1., 1.]")
    param.note = "mine"
    duplicate = copy.deepcopy(param)
    assert isinstance(duplicate, nn.Parameter)
    assert duplicate.note == "mine"
    assert duplicate.requires_grad
    with un.no_grad():
        param.add_(1)
    assert duplicate.tolist() == [1, 1]
    assert value.tolist() == [1, 1]
    with pytest.raises(errors.DTypeError):
        nn.Parameter(un.ones(2, dtype=un.int32))
    with pytest.raises(errors.OperandError):
        nn.Parameter(3)  # type: ignore[arg-type]


def test_train_and_eval_reach_all_and_bump_the_epoch_once_changed() -> None:
    from unified._epoch import state_epoch

    net = Net()
    assert net.training
    net.eval()
    assert not any(module.training for module in net.modules())
    before = state_epoch.value
    net.eval()
    assert state_epoch.value == before
    net.train()
    assert state_epoch.value > before
    with pytest.raises(TypeError):
        net.train(1)  # type: ignore[arg-type]


def test_hooks(backend: str) -> None:
    layer = nn.Identity()
    seen = []
    pre = layer.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    post = layer.register_forward_hook(lambda module, args, output: seen.append(output) or output * 2)
    assert layer(un.ones(1)).tolist() == [4]
    assert seen[0].tolist() == [2]
    pre.remove()
    assert layer(un.ones(1)).tolist() == [2]
    post.remove()
    post.remove()
    assert layer(un.ones(1)).tolist() == [1]
    with layer.register_forward_hook(lambda module, args, kwargs, output: output * 3, with_kwargs=True):
        assert layer(un.ones(1)).tolist() == [3]


@pytest.mark.parametrize("convert", [un.Tensor.detach, lambda v: v.detach().numpy(), lambda v: v.native])
def test_load_state_dict_takes_tensors_arrays_and_natives(backend: str, convert: Callable) -> None:
    source, target = nn.Linear(2, 3), nn.Linear(2, 3)
    weight = target.weight
    target.load_state_dict({name: convert(value) for name, value in source.state_dict().items()})
    assert target.weight is weight
    assert weight.requires_grad
    np.testing.assert_array_equal(weight.detach().numpy(), source.weight.detach().numpy())
    with un.no_grad():
        source.weight.zero_()
    assert weight.detach().numpy().any()


def test_a_state_dict_that_does_not_fit_changes_nothing(backend: str) -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {name: value.numpy().copy() for name, value in module.state_dict().items()}
    bad = {"0.weight": np.zeros((3, 2)), "0.bias": np.zeros(4), "1.weight": np.zeros((1, 3)), "z": np.zeros(1)}
    with pytest.raises(errors.StateDictError) as caught:
        module.load_state_dict(bad)
    message = str(caught.value)
    assert "Error(s) in loading state_dict for Sequential" in message
    assert 'Missing key(s) in state_dict: "1.bias"' in message
    assert 'Unexpected key(s) in state_dict: "z"' in message
    assert "size mismatch for 0.bias" in message
    for name, value in module.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    del bad["0.bias"]
    report = module.load_state_dict(bad, strict=False)
    assert report.missing_keys == ["0.bias", "1.bias"]
    assert report.unexpected_keys == ["z"]
    assert not module[0].weight.detach().numpy().any()


def test_a_state_dict_is_a_snapshot(backend: str) -> None:
    module = nn.Linear(1, 1)
    state = module.state_dict()
    before = state["weight"].numpy().copy()
    with un.no_grad():
        module.weight.add_(1)
    np.testing.assert_array_equal(state["weight"].numpy(), before)


def test_to_another_backend_keeps_identities_gradients_and_values(backend: str) -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    x = np.random.default_rng(0).standard_normal((4, 2)).astype(np.float32)
    module(un.tensor(x)).sum().backward()
    params, expected = list(module.parameters()), module.eval()(un.tensor(x)).detach().numpy()
    for target in un.available_backends():
        grads = [param.grad.numpy().copy() for param in params]
        assert module.to(backend=target) is module
        assert all(a is b for a, b in zip(params, module.parameters(), strict=True))
        assert {param.backend for param in params} == {target}
        assert {buffer.backend for buffer in module.buffers()} == {target}
        for param, grad in zip(params, grads, strict=True):
            assert param.requires_grad
            assert param.grad.backend == target
            np.testing.assert_array_equal(param.grad.numpy(), grad)
        with un.backend(target):
            np.testing.assert_allclose(module(un.tensor(x)).detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_to_dtype_converts_floats_only(backend: str) -> None:
    module = nn.BatchNorm1d(3).to(un.float16)
    assert module.weight.dtype is un.float16
    assert module.running_mean.dtype is un.float16
    assert module.num_batches_tracked.dtype is un.int32
    assert module.float().weight.dtype is un.float32
    with pytest.raises(errors.DTypeError):
        module.to(un.int32)


def test_deepcopy_apply_and_freezing(backend: str) -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    duplicate = copy.deepcopy(module)
    visited = []
    assert duplicate.apply(lambda m: visited.append(type(m).__name__)) is duplicate
    assert visited == ["Linear", "ReLU", "Sequential"]
    with un.no_grad():
        duplicate[0].weight.zero_()
    assert module[0].weight.detach().numpy().any()
    module.requires_grad_(False)
    assert not any(param.requires_grad for param in module.parameters())


def test_initial_values_have_pytorchs_bounds(backend: str) -> None:
    un.manual_seed(0)
    weight = nn.Linear(100, 50).weight.detach().numpy()
    assert 0.09 < np.abs(weight).max() <= 0.1  # uniform within 1 / sqrt(100)
    assert nn.Conv2d(4, 8, 3).bias.detach().abs().numpy().max() <= 1 / 6  # 1 / sqrt(36)


def test_batch_norm_refuses_other_ranks(backend: str) -> None:
    with pytest.raises(ValueError, match="expected 4D input"):
        nn.BatchNorm2d(3)(un.ones(2, 3))


def test_the_same_seed_gives_the_same_module_on_every_backend() -> None:
    states = []
    for name in un.available_backends():
        with un.backend(name):
            un.manual_seed(3)
            states.append(nn.Linear(7, 5).state_dict())
    for state in states[1:]:
        for key, value in states[0].items():
            np.testing.assert_array_equal(state[key].numpy(), value.numpy())

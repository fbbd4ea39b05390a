"""State dicts, their hooks, conversions and lookups of nn.Module, with torch.nn.Module as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import unified as un
from unified import errors, nn


def both(build):
    """The same Module here and in torch."""
    return build(nn, un), build(torch.nn, torch)


def tower(n, t):
    return n.Sequential(n.Linear(2, 3), n.Sequential(n.Linear(3, 1), n.BatchNorm1d(1)))


def test_state_hooks_see_what_torchs_see(backend: str) -> None:
    seen = []
    for module in both(tower):
        calls = []
        for name, owner in (("root", module), ("leaf", module[1][0])):
            owner.register_state_dict_pre_hook(lambda m, p, k, name=name, c=calls: c.append(("pre", name, p, k)))
            owner.register_state_dict_post_hook(
                lambda m, s, p, md, name=name, c=calls: c.append(("post", name, p, sorted(s)))
            )
            owner.register_load_state_dict_pre_hook(
                lambda m, s, p, md, strict, missing, unexpected, errors, name=name, c=calls: c.append(
                    ("load", name, p, strict, missing, unexpected, errors)
                )
            )
            owner.register_load_state_dict_post_hook(
                lambda m, keys, name=name, c=calls: c.append(("loaded", name, *keys))
            )
        module.load_state_dict(module.state_dict(prefix=""))
        module[1][0].state_dict(prefix="x.", keep_vars=True)
        seen.append(calls)
    assert len(seen[0]) == 10
    assert [call[:3] for call in seen[0]] == [call[:3] for call in seen[1]]
    assert seen[0] == seen[1]


def test_hooks_change_what_is_collected_and_loaded(backend: str) -> None:
    module = nn.Linear(2, 2)
    with module.register_state_dict_post_hook(lambda m, s, p, md: s.update(note=un.ones(1))):
        assert sorted(module.state_dict()) == ["bias", "note", "weight"]
    assert sorted(module.state_dict()) == ["bias", "weight"]

    def rename(m, state, prefix, metadata, strict, missing, unexpected, problems):
        state[prefix + "weight"] = state.pop(prefix + "kernel")

    old = {"kernel": np.ones((2, 2)), "bias": np.zeros(2)}
    with module.register_load_state_dict_pre_hook(rename):
        module.load_state_dict(old)
    assert module.weight.tolist() == [[1, 1], [1, 1]]
    assert sorted(old) == ["bias", "kernel"]
    with (
        module.register_load_state_dict_pre_hook(lambda *args: args[-1].append("no way")),
        pytest.raises(errors.StateDictError, match="no way"),
    ):
        module.load_state_dict(module.state_dict())


def test_a_post_hook_may_forgive_missing_keys_and_a_failure_restores(backend: str) -> None:
    module = nn.Linear(2, 2)
    before = module.weight.tolist()
    with module.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear()):
        assert module.load_state_dict({"weight": np.ones((2, 2))}).missing_keys == []
        assert module.weight.tolist() == [[1, 1], [1, 1]]
        with pytest.raises(errors.StateDictError, match=r'Unexpected key.*"z"'):
            module.load_state_dict({"weight": np.zeros((2, 2)), "z": np.zeros(1)})
    assert module.weight.tolist() == [[1, 1], [1, 1]]
    with module.register_load_state_dict_post_hook(lambda m, keys: 1 / 0), pytest.raises(ZeroDivisionError):
        module.load_state_dict({"weight": np.array(before), "bias": np.zeros(2)}, assign=True)
    assert module.weight.tolist() == [[1, 1], [1, 1]]


def test_the_report_of_mismatches_is_torchs(backend: str) -> None:
    messages = []
    for module, zeros in zip(both(tower), (np.zeros, torch.zeros), strict=True):
        bad = {"0.weight": zeros((3, 3)), "0.bias": zeros(4), "more": zeros(1)}
        with pytest.raises(RuntimeError) as caught:
            module.load_state_dict(bad)
        messages.append(
            str(caught.value).replace("torch.Size([3, 3])", "(3, 3)").replace("torch.Size([3, 2])", "(3, 2)")
        )
    assert messages[0] == messages[1].replace("torch.Size([4])", "(4,)").replace("torch.Size([3])", "(3,)")


class _Counting:
    def get_extra_state(self):
        return {"steps": self.steps}

    def set_extra_state(self, state):
        self.steps = state["steps"]


class Counting(_Counting, nn.Linear):
    steps = 3


class TorchCounting(_Counting, torch.nn.Linear):
    steps = 3


def test_extra_state(backend: str) -> None:
    ours, theirs = nn.Sequential(Counting(1, 1)), torch.nn.Sequential(TorchCounting(1, 1))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    state = ours.state_dict()
    ours[0].steps = 7
    ours.load_state_dict(state)
    assert ours[0].steps == 3
    del state["0._extra_state"]
    assert ours.load_state_dict(state, strict=False).missing_keys == ["0._extra_state"]
    with pytest.raises(errors.StateDictError, match="_extra_state"):
        nn.Sequential(nn.Linear(1, 1)).load_state_dict(ours.state_dict())


def test_assign_takes_the_given_objects(backend: str) -> None:
    module = nn.BatchNorm1d(2)
    module.weight.requires_grad_(False)
    state = module.double().state_dict(keep_vars=True)
    given = {
        name: nn.Parameter(value.detach()) if name == "bias" else value.detach() for name, value in state.items()
    }
    fresh = nn.BatchNorm1d(2)
    fresh.weight.requires_grad_(False)
    fresh.load_state_dict(given, assign=True)
    assert fresh.bias is given["bias"]
    assert fresh.running_mean is given["running_mean"]
    assert fresh.weight.dtype is un.float64
    assert not fresh.weight.requires_grad
    assert isinstance(fresh.weight, nn.Parameter)


def test_destination_and_overridden_state_dicts(backend: str) -> None:
    class Silent(nn.Linear):
        def state_dict(self, *, destination=None, prefix="", keep_vars=False):
            return {} if destination is None else destination

    module = nn.Sequential(Silent(1, 1), nn.Linear(1, 1))
    into = {"kept": 1}
    assert module.state_dict(destination=into, prefix="a.") is into
    assert list(into) == ["kept", "a.1.weight", "a.1.bias"]


def test_a_number_may_come_with_one_dimension(backend: str) -> None:
    module = nn.BatchNorm1d(2)
    state = module.state_dict()
    state["num_batches_tracked"] = np.array([5])
    module.load_state_dict(state)
    assert module.num_batches_tracked.item() == 5


def test_set_submodule(backend: str) -> None:
    for module, other in ((tower(nn, un), nn.ReLU()), (tower(torch.nn, torch), torch.nn.ReLU())):
        module.set_submodule("1.0", other)
        assert module[1][0] is other
        module.set_submodule("1.new", other)
        assert module[1].new is other
        with pytest.raises(AttributeError, match="has no attribute `newer`"):
            module.set_submodule("1.newer", other, strict=True)
        with pytest.raises(AttributeError, match="is not an nn"):
            module.set_submodule("0.weight", other)
        with pytest.raises(AttributeError):
            module.set_submodule("7.x", other)
        with pytest.raises(ValueError, match="without a target name"):
            module.set_submodule("", other)
        with pytest.raises(ValueError, match="is not an nn"):
            module.set_submodule("0", 3)


@pytest.mark.parametrize("method", ["float", "double", "half", "bfloat16"])
def test_conversions_touch_what_torchs_touch(backend: str, method: str) -> None:
    def build(n, t):
        module = n.BatchNorm1d(2)
        module.register_buffer("wave", t.zeros(2, dtype=t.complex64))
        return module

    ours, theirs = both(build)
    getattr(ours, method)()
    getattr(theirs, method)()
    for (name, value), (_, expected) in zip(ours.state_dict().items(), theirs.state_dict().items(), strict=True):
        dtype = str(expected.dtype).replace("torch.int64", "torch.int32")
        assert str(value.dtype).removeprefix("unified.") == dtype.removeprefix("torch."), name


def test_type_to_empty_and_share_memory(backend: str) -> None:
    module = nn.BatchNorm1d(2)
    weight = module.weight
    assert module.type(un.float64).num_batches_tracked.dtype is un.float64
    outer = nn.Sequential(module)
    assert outer.to_empty(device="cpu", recurse=False)[0].weight.tolist() == [1, 1]
    assert outer.to_empty(device="cpu") is outer
    assert module.weight is weight
    assert weight.tolist() == [0, 0]
    assert weight.requires_grad
    with pytest.raises(NotImplementedError, match="state_dict"):
        module.share_memory()


def test_assigned_buffers_are_registered(backend: str) -> None:
    def build(n, t):
        module = n.Module()
        module.kept = n.Buffer(t.ones(2))
        module.scratch = n.Buffer(t.ones(1), persistent=False)
        module.kept = t.zeros(2)
        return module

    ours, theirs = both(build)
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["kept"]
    assert [n for n, _ in ours.named_buffers()] == [n for n, _ in theirs.named_buffers()]
    assert ours.kept.tolist() == [0, 0]
    with pytest.raises(TypeError):
        nn.Buffer(3)


def test_names_of_shared_members(backend: str) -> None:
    def build(n, t):
        module = n.Module()
        module.a = n.Linear(1, 1)
        module.b = module.a
        module.register_buffer("x", t.ones(1))
        module.register_buffer("y", module.x)
        return module

    ours, theirs = both(build)
    for walk in ("named_parameters", "named_buffers", "named_modules"):
        for remove in (True, False):
            found = [n for n, _ in getattr(ours, walk)(remove_duplicate=remove)]
            assert found == [n for n, _ in getattr(theirs, walk)(remove_duplicate=remove)], walk
    assert set(dir(ours)) >= {"a", "b", "x", "y"}


def test_hooks_of_every_registration(backend: str) -> None:
    logs = []
    for n, t, where in ((nn, un, nn.modules.module), (torch.nn, torch, torch.nn.modules.module)):
        log = []

        def note(module, name, member, log=log):
            log.append((type(module).__name__, name, type(member).__name__))

        with (
            where.register_module_parameter_registration_hook(note),
            where.register_module_buffer_registration_hook(note),
            where.register_module_module_registration_hook(note),
        ):
            model = n.Sequential(n.BatchNorm1d(2))
            model.more = n.ReLU()
            model.register_buffer("x", t.ones(1))
        model.also = n.Linear(1, 1)
        logs.append(log)
        other = n.Tanh()
        with where.register_module_module_registration_hook(lambda module, name, child, other=other: other):
            assert n.Sequential(n.ReLU())[0] is other

        def negative(module, name, param, n=n):
            return None if param is None else n.Parameter(-param)

        with where.register_module_parameter_registration_hook(negative):
            assert n.PReLU().weight.tolist() == [0.25]  # the hook came before the constructor wrote its value
            model.scale = n.Parameter(t.ones(1))
        assert model.scale.tolist() == [-1]
    assert logs[0] == logs[1]


def test_modules_with_and_without_duplicates() -> None:
    found = []
    for n in (nn, torch.nn):
        shared = n.ReLU()
        model = n.Sequential(shared, shared)
        memo = {shared}
        counts = [len(list(model.modules(remove_duplicate=remove))) for remove in (True, False)]
        found.append((counts, [name for name, _ in model.named_modules(memo, "x")], len(memo)))
    assert found[0] == found[1]

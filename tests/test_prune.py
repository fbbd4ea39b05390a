"""``nn.utils.prune`` against torch's: masks, names, training under a mask, iterations, removal, refusals.

What is drawn at random is compared by its count and by what it leaves alone. Tolerance: 1e-5, as in test_nn_utils.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn.utils import prune as theirs_of

import unified as un
from tests.test_nn_utils import close
from unified import errors, nn, optim
from unified.nn.utils import prune


def layers() -> tuple[nn.Module, torch.nn.Module]:
    theirs = torch.nn.Conv2d(3, 4, 2)
    ours = nn.Conv2d(3, 4, 2)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def same(ours: nn.Module, theirs: torch.nn.Module, name: str = "weight") -> None:
    state, expected = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(expected)
    for key, value in expected.items():
        close(state[key], value, key)
    close(getattr(ours, name), getattr(theirs, name))


def train(ours: nn.Module, theirs: torch.nn.Module) -> None:
    array = np.random.default_rng(1).standard_normal((2, 3, 4, 4)).astype(np.float32)
    for model, module, data in ((ours, optim, un.tensor(array)), (theirs, torch.optim, torch.tensor(array))):
        optimizer = module.SGD(model.parameters(), lr=0.1)
        model(data).square().mean().backward()
        optimizer.step()
        model(data)


METHODS: dict[str, Callable] = {
    "identity": lambda of, m: of.identity(m, "weight"),
    "l1 count": lambda of, m: of.l1_unstructured(m, "weight", 5),
    "l1 fraction": lambda of, m: of.l1_unstructured(m, "weight", 0.31),
    "l1 none": lambda of, m: of.l1_unstructured(m, "weight", 0),
    "l1 all": lambda of, m: of.l1_unstructured(m, "weight", 1.0),
    "ln": lambda of, m: of.ln_structured(m, "weight", 2, n=2, dim=0),
    "ln infinite": lambda of, m: of.ln_structured(m, "weight", 0.34, n=float("inf"), dim=1),
    "ln least": lambda of, m: of.ln_structured(m, "weight", 1, n=-float("inf"), dim=-1),
    "ln none": lambda of, m: of.ln_structured(m, "weight", 0.0, n=1, dim=0),
}


@pytest.mark.parametrize("case", METHODS)
def test_a_method_equals_torchs(backend: str, case: str) -> None:
    ours, theirs = layers()
    held = ours.weight
    assert METHODS[case](prune, ours) is ours
    METHODS[case](theirs_of, theirs)
    same(ours, theirs)
    assert ours.weight_orig is held
    train(ours, theirs)
    same(ours, theirs)
    assert prune.is_pruned(ours)
    assert prune.is_pruned(nn.Sequential(ours))
    prune.remove(ours, "weight")
    theirs_of.remove(theirs, "weight")
    assert set(ours.state_dict()) == set(theirs.state_dict())
    close(ours.weight, theirs.weight)
    assert ours.weight is held
    assert not prune.is_pruned(ours)


def test_pruning_again_looks_at_what_is_left(backend: str) -> None:
    ours, theirs = layers()
    for of, layer in ((prune, ours), (theirs_of, theirs)):
        of.l1_unstructured(layer, "weight", 0.3)
        of.ln_structured(layer, "weight", 1, n=2, dim=0)
        of.l1_unstructured(layer, "weight", 4)
        of.ln_structured(layer, "weight", 1, n=2, dim=0)
    same(ours, theirs)
    train(ours, theirs)
    same(ours, theirs)
    (chain,) = nn.utils._recomputed.attached(ours, prune.PruningContainer, "weight")
    assert [type(method).__name__ for method in chain] == ["L1Unstructured", "LnStructured"] * 2
    assert (len(chain), type(chain[1]).__name__) == (4, "LnStructured")


def test_importance_scores(backend: str) -> None:
    ours, theirs = layers()
    scores = np.random.default_rng(0).standard_normal((4, 3, 2, 2)).astype(np.float32)
    for of, layer, given in ((prune, ours, un.tensor(scores)), (theirs_of, theirs, torch.tensor(scores))):
        of.l1_unstructured(layer, "weight", 10, importance_scores=given)
        of.ln_structured(layer, "weight", 1, 1, 0, importance_scores=given)
    same(ours, theirs)


def test_a_mask_of_ones_own(backend: str) -> None:
    ours, theirs = layers()
    prune.custom_from_mask(ours, "bias", un.tensor([1, 0, 1, 0]))
    theirs_of.custom_from_mask(theirs, "bias", torch.tensor([1, 0, 1, 0]))
    same(ours, theirs, "bias")
    prune.custom_from_mask(ours, "bias", un.tensor([True, True, False, False]))
    theirs_of.custom_from_mask(theirs, "bias", torch.tensor([True, True, False, False]))
    same(ours, theirs, "bias")


def test_global_pruning(backend: str) -> None:
    ours, theirs = layers()
    for of, layer in ((prune, ours), (theirs_of, theirs)):
        of.global_unstructured([(layer, "weight"), (layer, "bias")], of.L1Unstructured, amount=0.4)
        of.global_unstructured([(layer, "weight"), (layer, "bias")], of.L1Unstructured, amount=3)
    same(ours, theirs)
    same(ours, theirs, "bias")
    fresh, reference = layers()
    scores = np.random.default_rng(0).standard_normal(4).astype(np.float32)
    prune.global_unstructured([(fresh, "bias")], prune.L1Unstructured, {(fresh, "bias"): un.tensor(scores)}, amount=2)
    theirs_of.global_unstructured(
        [(reference, "bias")], theirs_of.L1Unstructured, {(reference, "bias"): torch.tensor(scores)}, amount=2
    )
    same(fresh, reference, "bias")


def test_random_pruning(backend: str) -> None:
    ours, _ = layers()
    prune.random_unstructured(ours, "weight", 0.25)
    assert int((ours.weight_mask == 0).sum()) == 12
    first = ours.weight_mask.numpy() == 0
    prune.random_unstructured(ours, "weight", 10)
    assert int((ours.weight_mask == 0).sum()) == 22
    assert (ours.weight_mask.numpy()[first] == 0).all()
    ours, _ = layers()
    prune.random_structured(ours, "weight", 2, dim=1)
    gone = (ours.weight_mask.numpy() == 0).all(axis=(0, 2, 3))
    assert gone.sum() == 2
    assert (ours.weight_mask.numpy()[:, ~gone] == 1).all()
    with un.backend(backend):
        un.manual_seed(0)
        one = prune.random_unstructured(nn.Linear(3, 4), "weight", 5).weight_mask.numpy()
        un.manual_seed(0)
        np.testing.assert_array_equal(
            one, prune.random_unstructured(nn.Linear(3, 4), "weight", 5).weight_mask.numpy()
        )


def test_pruning_a_tensor_alone(backend: str) -> None:
    array = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    found = prune.L1Unstructured(5).prune(un.tensor(array))
    close(found, theirs_of.L1Unstructured(5).prune(torch.tensor(array)))


def test_a_method_of_the_users(backend: str) -> None:
    def compute_mask(self: object, t: object, default_mask: object) -> object:
        mask = default_mask.clone()
        mask[0] = 0
        return mask

    ours, theirs = layers()
    for of, layer in ((prune, ours), (theirs_of, theirs)):
        kind = type("FirstRow", (of.BasePruningMethod,), {"PRUNING_TYPE": "global", "compute_mask": compute_mask})
        kind.apply(layer, "weight")
        of.l1_unstructured(layer, "weight", 3)
    same(ours, theirs)


def test_a_compiled_step_trains_under_a_mask(backend: str) -> None:
    ours, theirs = layers()
    prune.l1_unstructured(ours, "weight", 20)
    theirs_of.l1_unstructured(theirs, "weight", 20)
    array = np.random.default_rng(1).standard_normal((2, 3, 4, 4)).astype(np.float32)
    optimizer, reference = optim.SGD(ours.parameters(), lr=0.1), torch.optim.SGD(theirs.parameters(), lr=0.1)

    @un.compile
    def step(x: un.Tensor) -> un.Tensor:
        optimizer.zero_grad()
        loss = ours(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):
        reference.zero_grad()
        loss = theirs(torch.tensor(array)).square().mean()
        loss.backward()
        reference.step()
        close(step(un.tensor(array)), loss)
    ours(un.tensor(array))
    theirs(torch.tensor(array))
    same(ours, theirs)


def test_refusals_change_nothing(backend: str) -> None:
    ours, _ = layers()
    before = {key: value.numpy().copy() for key, value in ours.state_dict().items()}
    for amount, kind, message in (
        ("half", errors.OperandError, "must be an int or a float"),
        (-1, errors.ArgumentError, "count that is not negative"),
        (1.5, errors.ArgumentError, r"fraction in \[0, 1\]"),
        (49, errors.ArgumentError, "more than the 48 that there are"),
    ):
        for function in (prune.l1_unstructured, prune.random_unstructured):
            with pytest.raises(kind, match=message):
                function(ours, "weight", amount)
    with pytest.raises(errors.ShapeError, match="only what has several dimensions has channels"):
        prune.ln_structured(ours, "bias", 1, 2, 0)
    with pytest.raises(errors.IndexOutOfRangeError, match="dim=4 is out of range"):
        prune.random_structured(ours, "weight", 1, 4)
    with pytest.raises(errors.ArgumentError, match="no parameter named 'scale'"):
        prune.identity(ours, "scale")
    with pytest.raises(errors.ShapeError, match="importance_scores of shape"):
        prune.l1_unstructured(ours, "weight", 1, importance_scores=un.ones(2))
    with pytest.raises(errors.ShapeError, match="the mask does not fit"):
        prune.custom_from_mask(ours, "weight", un.ones(2))
    with pytest.raises(errors.ArgumentError, match="is not pruned"):
        prune.remove(ours, "weight")
    with pytest.raises(errors.OperandError, match="only 'unstructured' has a meaning"):
        prune.global_unstructured([(ours, "weight")], prune.LnStructured, amount=1, n=2)
    with pytest.raises(errors.OperandError, match="importance_scores must be a dict"):
        prune.global_unstructured([(ours, "weight")], prune.L1Unstructured, [1], amount=1)
    assert list(ours.state_dict()) == list(before)
    for key, value in before.items():
        np.testing.assert_array_equal(ours.state_dict()[key].numpy(), value)


def test_containers_refuse(backend: str) -> None:
    chain = prune.PruningContainer()
    chain.name = "weight"
    with pytest.raises(errors.OperandError, match="is not a BasePruningMethod subclass"):
        chain.add_pruning_method("l1")
    method = prune.Identity()
    method.name = "bias"
    with pytest.raises(errors.ArgumentError, match="cannot take one of 'bias'"):
        chain.add_pruning_method(method)
    method.name = "weight"
    method.PRUNING_TYPE = "mystery"
    chain.add_pruning_method(method)
    with pytest.raises(errors.ArgumentError, match="unknown PRUNING_TYPE 'mystery'"):
        chain.compute_mask(un.ones(3), un.ones(3))

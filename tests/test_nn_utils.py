"""``nn.utils`` against ``torch.nn.utils`` on the same Modules: clipping, vectors, fusion, older
normalisations of weights.

Tolerance: 1e-5 relative, float32 rounding of short sums whose order is a framework's own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

import unified as un
from unified import errors, nn, optim

TOLERANCE = 1e-5


def close(ours: un.Tensor | None, theirs: torch.Tensor | None, what: str = "") -> None:
    assert (ours is None) == (theirs is None), what
    if ours is not None and theirs is not None:
        assert tuple(ours.shape) == tuple(theirs.shape), what
        np.testing.assert_allclose(
            ours.detach().numpy(), theirs.detach().numpy(), rtol=TOLERANCE, atol=TOLERANCE, err_msg=what
        )


@contextmanager
def deprecated() -> Iterator[None]:
    """torch warns of its own older functions, which are the oracle here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def twins(scale: float = 3.0) -> tuple[nn.Module, torch.nn.Module]:
    """The same chain here and in torch, with the same gradients; the last layer has none."""
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2), torch.nn.Linear(2, 2))
    ours = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2), nn.Linear(2, 2))
    ours.load_state_dict(theirs.state_dict())
    array = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    (ours[2](ours[1](ours[0](un.tensor(array)))) * scale).square().sum().backward()
    (theirs[2](theirs[1](theirs[0](torch.tensor(array)))) * scale).square().sum().backward()
    return ours, theirs


def same_grads(ours: nn.Module, theirs: torch.nn.Module) -> None:
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        close(p.grad, q.grad, name)


@pytest.mark.parametrize("limit", [0.5, 1e4])
@pytest.mark.parametrize("norm_type", [2.0, 1, 3.5, "inf", float("inf"), 0])
def test_clip_grad_norm(backend: str, norm_type: object, limit: float) -> None:
    ours, theirs = twins()
    held = ours[0].weight.grad
    norm = nn.utils.clip_grad_norm_(ours.parameters(), limit, norm_type)
    close(norm, torch.nn.utils.clip_grad_norm_(theirs.parameters(), limit, norm_type))
    same_grads(ours, theirs)
    assert ours[0].weight.grad is held


def test_clip_grad_norm_of_one_tensor_and_in_two_steps(backend: str) -> None:
    ours, theirs = twins()
    norm = nn.utils.get_total_norm([p.grad for p in ours.parameters() if p.grad is not None])
    expected = torch.nn.utils.get_total_norm([p.grad for p in theirs.parameters() if p.grad is not None])
    close(norm, expected)
    nn.utils.clip_grads_with_norm_(ours.parameters(), 2.0, norm, foreach=True)
    torch.nn.utils.clip_grads_with_norm_(theirs.parameters(), 2.0, expected)
    nn.utils.clip_grad_norm_(ours[0].weight, 0.1)
    torch.nn.utils.clip_grad_norm_(theirs[0].weight, 0.1)
    same_grads(ours, theirs)


def test_clip_grad_value(backend: str) -> None:
    ours, theirs = twins()
    nn.utils.clip_grad_value_(ours.parameters(), 0.3)
    torch.nn.utils.clip_grad_value_(theirs.parameters(), 0.3)
    same_grads(ours, theirs)


def test_gradients_of_several_dtypes_keep_them(backend: str) -> None:
    array = np.array([3.0, 4.0], np.float32)
    ours = [un.zeros(2, dtype=dtype).requires_grad_() for dtype in (un.float32, un.float64, un.bfloat16)]
    theirs = [torch.zeros(2, dtype=t, requires_grad=True) for t in (torch.float32, torch.float64, torch.bfloat16)]
    for p, q in zip(ours, theirs, strict=True):
        p.grad, q.grad = un.tensor(array, dtype=p.dtype), torch.tensor(array, dtype=q.dtype)
    norm = nn.utils.clip_grad_norm_(ours, 1.0)
    close(norm.float(), torch.nn.utils.clip_grad_norm_(theirs, 1.0).float())
    for p, q in zip(ours, theirs, strict=True):
        assert p.grad.dtype is p.dtype
        # bfloat16 keeps 8 bits, and one rounding of the product is half of the last of them
        np.testing.assert_allclose(p.grad.float().numpy(), q.grad.float().numpy(), rtol=2**-8)


def test_norms_that_are_not_finite(backend: str) -> None:
    ours, _ = twins()
    ours[0].bias.grad = un.full((5,), float("inf"))
    before = ours[0].weight.grad.numpy().copy()
    with pytest.raises(errors.AutogradError, match="is inf, so the gradients cannot be clipped"):
        nn.utils.clip_grad_norm_(ours.parameters(), 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal(ours[0].weight.grad.numpy(), before)
    assert np.isinf(nn.utils.clip_grad_norm_(ours.parameters(), 1.0).item())
    assert np.isnan(ours[0].bias.grad.numpy()).all()


def test_clipping_nothing(backend: str) -> None:
    assert nn.utils.clip_grad_norm_(nn.Linear(2, 2).parameters(), 1.0).item() == 0.0
    nn.utils.clip_grad_value_([], 1.0)
    with pytest.warns(UserWarning, match="generator of parameters is empty"):
        nn.utils.clip_grad_norm_(nn.ReLU().parameters(), 1.0)


def test_clipping_refuses(backend: str) -> None:
    ours, _ = twins()
    with pytest.raises(errors.OperandError, match="number 1 is a str"):
        nn.utils.clip_grad_norm_([ours[0].weight, "weight"], 1.0)
    with pytest.raises(errors.ArgumentError, match="max_norm must be a number"):
        nn.utils.clip_grad_norm_(ours.parameters(), None)
    with pytest.raises(errors.ArgumentError, match="norm_type must be a number or 'inf'"):
        nn.utils.clip_grad_norm_(ours.parameters(), 1.0, "fro")


def test_clipping_many_gradients_is_two_ops(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _ = twins()
    called = []
    for name in ("total_norm", "scaled_to_norm"):
        op = getattr(nn.utils.clip_grad, name)
        monkeypatch.setattr(nn.utils.clip_grad, name, lambda *a, op=op, name=name: called.append(name) or op(*a))
    nn.utils.clip_grad_norm_(ours.parameters(), 0.5)
    assert called == ["total_norm", "scaled_to_norm"]


def test_a_compiled_step_clips(backend: str) -> None:
    """Three steps with clipping inside of the program against the same in torch, eagerly."""
    theirs = torch.nn.Linear(4, 2)
    ours = nn.Linear(4, 2)
    ours.load_state_dict(theirs.state_dict())
    optimizer, reference = optim.SGD(ours.parameters(), lr=0.1), torch.optim.SGD(theirs.parameters(), lr=0.1)

    @un.compile
    def step(x: un.Tensor) -> un.Tensor:
        optimizer.zero_grad()
        (ours(x) * 10).square().sum().backward()
        norm = nn.utils.clip_grad_norm_(ours.parameters(), 1.0)
        nn.utils.clip_grad_value_(ours.parameters(), 0.4)
        optimizer.step()
        return norm

    rng = np.random.default_rng(0)
    for _ in range(3):
        array = rng.standard_normal((6, 4)).astype(np.float32)
        norm = step(un.tensor(array))
        reference.zero_grad()
        (theirs(torch.tensor(array)) * 10).square().sum().backward()
        close(norm, torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0))
        torch.nn.utils.clip_grad_value_(theirs.parameters(), 0.4)
        reference.step()
    close(ours.weight, theirs.weight)


def test_parameters_as_a_vector_and_back(backend: str) -> None:
    ours, theirs = twins()
    vector = nn.utils.parameters_to_vector(ours.parameters())
    expected = torch.nn.utils.parameters_to_vector(theirs.parameters())
    close(vector, expected)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        p.grad = q.grad = None
    vector.square().sum().backward()
    expected.square().sum().backward()
    same_grads(ours, theirs)
    held = ours[0].weight
    nn.utils.vector_to_parameters(vector * 2, ours.parameters())
    torch.nn.utils.vector_to_parameters(expected * 2, theirs.parameters())
    assert ours[0].weight is held
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert p.requires_grad
        assert p.is_leaf
        close(p, q)


def test_vectors_that_do_not_fit(backend: str) -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight.detach().numpy().copy()
    with pytest.raises(errors.ShapeError, match=r"have 6 elements, vec has shape \(5,\)"):
        nn.utils.vector_to_parameters(un.zeros(5), layer.parameters())
    np.testing.assert_array_equal(layer.weight.detach().numpy(), before)
    with pytest.raises(errors.OperandError, match="vec must be a Tensor"):
        nn.utils.vector_to_parameters([0.0] * 6, layer.parameters())
    with pytest.raises(errors.OperandError, match="there are no parameters"):
        nn.utils.parameters_to_vector([])


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"affine": False}], ids=str)
def test_fusing_batch_norm(backend: str, options: dict) -> None:
    rng = np.random.default_rng(0)
    norm_options = {k: v for k, v in options.items() if k == "affine"}
    layer_options = {k: v for k, v in options.items() if k == "bias"}
    for layer, norm, args, shape, fuse in (
        ("Conv2d", "BatchNorm2d", (3, 4, 3), (2, 3, 5, 5), "fuse_conv_bn_eval"),
        ("Conv1d", "BatchNorm1d", (3, 4, 2), (2, 3, 5), "fuse_conv_bn_eval"),
        ("Linear", "BatchNorm1d", (3, 4), (5, 3), "fuse_linear_bn_eval"),
    ):
        if layer == "Linear" and norm_options:
            continue  # torch's own fails there
        theirs = getattr(torch.nn, layer)(*args, **layer_options), getattr(torch.nn, norm)(4, **norm_options)
        theirs[1].running_mean.copy_(torch.tensor(rng.standard_normal(4)))
        theirs[1].running_var.copy_(torch.tensor(rng.uniform(0.5, 2.0, 4)))
        ours = getattr(nn, layer)(*args, **layer_options), getattr(nn, norm)(4, **norm_options)
        for mine, other in zip(ours, theirs, strict=True):
            mine.load_state_dict(other.state_dict())
            mine.eval()
            other.eval()
        fused, expected = getattr(nn.utils, fuse)(*ours), getattr(torch.nn.utils, fuse)(*theirs)
        for (name, p), q in zip(fused.named_parameters(), expected.parameters(), strict=True):
            close(p, q, name)
            assert p.requires_grad == q.requires_grad
        x = rng.standard_normal(shape).astype(np.float32)
        close(fused(un.tensor(x)), theirs[1](theirs[0](torch.tensor(x))))
        assert ours[0].weight is not fused.weight


def test_fusion_refuses(backend: str) -> None:
    conv, bn = nn.Conv2d(2, 3, 1).eval(), nn.BatchNorm2d(3).eval()
    with pytest.raises(errors.ArgumentError, match=r"call .eval\(\) on both"):
        nn.utils.fuse_conv_bn_eval(conv.train(), bn)
    with pytest.raises(errors.ArgumentError, match="no running statistics"):
        nn.utils.fuse_conv_bn_eval(conv.eval(), nn.BatchNorm2d(3, track_running_stats=False).eval())
    with pytest.raises(errors.ShapeError, match="5 features are normalised as 3"):
        nn.utils.fuse_linear_bn_eval(nn.Linear(2, 5).eval(), nn.BatchNorm1d(3).eval())


def test_skip_init(backend: str) -> None:
    before = un.get_rng_state().numpy().copy()
    layer = nn.utils.skip_init(nn.Linear, 5, out_features=3)
    assert (tuple(layer.weight.shape), layer.weight.requires_grad) == ((3, 5), True)
    assert nn.utils.skip_init(nn.Conv2d, 2, 3, 3, bias=False).bias is None
    np.testing.assert_array_equal(un.get_rng_state().numpy(), before)
    assert nn.Linear(5, 3).weight.abs().sum().item() > 0
    with pytest.raises(errors.OperandError, match="expected a class of Modules"):
        nn.utils.skip_init(nn.functional.relu)


def test_functional_call_is_under_its_older_name_too() -> None:
    assert nn.utils.stateless.functional_call is un.func.functional_call


OLDER: dict[str, tuple[str, Callable, dict]] = {
    "weight norm": ("weight_norm", lambda m: m.Linear(4, 3), {}),
    "weight norm of a convolution": ("weight_norm", lambda m: m.Conv2d(2, 3, 2), {"dim": 1}),
    "weight norm of the whole": ("weight_norm", lambda m: m.Linear(4, 3), {"dim": None}),
    "weight norm of the bias": ("weight_norm", lambda m: m.Linear(4, 3), {"name": "bias"}),
    "spectral norm": ("spectral_norm", lambda m: m.Linear(4, 3), {}),
    "spectral norm of a convolution": (
        "spectral_norm", lambda m: m.Conv2d(2, 3, 2), {"n_power_iterations": 2, "dim": 1}
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OLDER)
def test_older_normalisations(backend: str, case: str) -> None:
    """State by torch's names, three training passes with a step between, one in evaluation, and the way back."""
    function, make, options = OLDER[case]
    with deprecated():
        theirs = getattr(torch.nn.utils, function)(make(torch.nn), **options)
    ours = getattr(nn.utils, function)(make(nn), **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    optimizer, reference = optim.SGD(ours.parameters(), lr=0.1), torch.optim.SGD(theirs.parameters(), lr=0.1)
    rng = np.random.default_rng(0)
    shape = (2, 4) if "Linear" in type(ours).__name__ else (2, 2, 4, 4)
    for training in (True, True, False):
        array = rng.standard_normal(shape).astype(np.float32)
        ours.train(training)
        theirs.train(training)
        optimizer.zero_grad()
        reference.zero_grad()
        y, s = ours(un.tensor(array)), theirs(torch.tensor(array))
        close(y, s)
        y.square().mean().backward()
        s.square().mean().backward()
        same_grads(ours, theirs)
        optimizer.step()
        reference.step()
    for key, value in theirs.state_dict().items():
        close(ours.state_dict()[key], value, key)
    name = {k: v for k, v in options.items() if k == "name"}
    getattr(nn.utils, f"remove_{function}")(ours, **name)
    getattr(torch.nn.utils, f"remove_{function}")(theirs, **name)
    assert set(ours.state_dict()) == set(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        close(ours.state_dict()[key], value, key)
    with pytest.raises(errors.ArgumentError, match="is not normalised"):
        getattr(nn.utils, f"remove_{function}")(ours, **name)


@pytest.mark.parametrize("function", ["weight_norm", "spectral_norm"])
def test_older_normalisations_compile(backend: str, function: str) -> None:
    layer, twin = (getattr(nn.utils, function)(nn.Linear(4, 3)) for _ in range(2))
    twin.load_state_dict(layer.state_dict())
    x = un.tensor(np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32))
    compiled = un.compile(layer)
    for _ in range(2):
        expected = twin(x)
        np.testing.assert_allclose(compiled(x).detach().numpy(), expected.detach().numpy(), TOLERANCE, TOLERANCE)
    compiled(x).sum().backward()
    twin(x).sum().backward()
    for p, q in zip(layer.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), TOLERANCE, TOLERANCE)


def test_older_normalisations_refuse(backend: str) -> None:
    for function in (nn.utils.weight_norm, nn.utils.spectral_norm):
        layer = function(nn.Linear(2, 2))
        with pytest.raises(errors.ArgumentError, match="normalised already"):
            function(layer)
        with pytest.raises(errors.ArgumentError, match="no parameter named 'scale'"):
            function(nn.Linear(2, 2), "scale")
    with pytest.raises(errors.IndexOutOfRangeError, match="dim=2 is out of range"):
        nn.utils.weight_norm(nn.Linear(2, 2), dim=2)
    with pytest.raises(errors.ArgumentError, match="n_power_iterations must be positive"):
        nn.utils.spectral_norm(nn.Linear(2, 2), n_power_iterations=0)

"""The Tensor itself: what it prints, how it leaves for Python, numpy and other backends, who shares its memory."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

import unified as un
from unified import errors

A = np.array([[1.5, -2.0, 0.5], [3.0, 0.25, -1.0]], np.float32)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (lambda: un.tensor([1.0, 2.5]), "tensor([1. , 2.5], backend='{}', device='cpu')"),
        (lambda: un.tensor(3), "tensor(3, backend='{}', device='cpu')"),
        (lambda: un.tensor([True, False]), "tensor([ True, False], backend='{}', device='cpu')"),
        (lambda: un.zeros(0, 3), "tensor([], size=(0, 3), backend='{}', device='cpu')"),
        (lambda: un.ones(2, dtype=un.float16), "tensor([1., 1.], backend='{}', device='cpu', dtype=unified.float16)"),
        (lambda: un.ones(1, dtype=un.bfloat16), "tensor([1.], backend='{}', device='cpu', dtype=unified.bfloat16)"),
        (lambda: un.ones(1, requires_grad=True), "tensor([1.], backend='{}', device='cpu', requires_grad=True)"),
    ],
)
def test_repr(backend, value, expected):
    assert repr(value()) == expected.format(backend)


def test_repr_of_many_elements_is_cut(backend):
    text = repr(un.zeros(100, 100))
    assert "..." in text
    assert len(text) < 1000


def test_out_to_python(backend):
    x = un.tensor(A)
    assert x.tolist() == A.tolist()
    assert x.numpy().dtype == np.float32
    assert un.tensor(2.5).item() == 2.5
    assert isinstance(un.tensor(2).item(), int)
    assert [float(un.tensor(2.5)), int(un.tensor(2.5)), bool(un.tensor(0.0))] == [2.5, 2, False]
    assert [10, 20, 30][un.tensor(1)] == 20
    assert f"{un.tensor(2.5):.2f}" == "2.50"
    assert len(x) == 2
    assert [row.tolist() for row in x] == A.tolist()
    np.testing.assert_array_equal(np.asarray(x), A)


def test_what_it_is(backend):
    x = un.tensor(A)
    assert x.shape == (2, 3)
    assert x.shape.numel() == x.numel() == 6
    assert (x.size(0), x.size(-1), x.dim(), x.ndim) == (2, 3, 2, 2)
    assert x.dtype is un.float32
    assert x.device == un.device("cpu")
    assert x.device == "cpu"
    assert x.backend == backend
    assert (x.itemsize, x.nbytes) == (4, 24)


def test_numpy_views_are_read_only_and_never_change(backend):
    x = un.tensor(A)
    view = x.numpy()
    assert not view.flags.writeable
    x.add_(1)
    np.testing.assert_array_equal(view, A)
    with pytest.raises(errors.AutogradError, match="detach"):
        un.tensor(A, requires_grad=True).numpy()


def test_the_source_array_is_copied(backend):
    source = A.copy()
    x = un.tensor(source)
    source[:] = 0
    np.testing.assert_array_equal(x.numpy(), A)


def test_between_backends_and_back(backend):
    for dtype in (un.float32, un.int32, un.float16, un.bool, un.uint8):
        x = un.tensor(A > 0 if dtype is un.bool else abs(A), dtype=dtype)
        for other in un.available_backends():
            moved = x.to(backend=other)
            assert moved.backend == other
            assert moved.dtype is dtype
            np.testing.assert_array_equal(moved.to(backend=backend).numpy(), x.numpy())


def test_a_permuted_tensor_moves_with_its_values(backend):
    x = un.tensor(A).transpose(0, 1)
    for other in un.available_backends():
        np.testing.assert_array_equal(x.to(backend=other).numpy(), A.T)


def test_64_bits_move_whole(backend):
    wide = un.tensor([1.0 + 2**-40, 2.0], dtype=un.float64)
    for other in un.available_backends():
        moved = wide.to(backend=other)
        assert moved.dtype is un.float64
        np.testing.assert_array_equal(moved.numpy(), wide.numpy())


def test_gradients_do_not_follow_to_another_backend(backend):
    x = un.tensor(A, requires_grad=True)
    other = next(name for name in un.available_backends() if name != backend)
    assert not x.to(backend=other).requires_grad
    assert x.requires_grad


def test_a_write_after_sharing_is_not_seen_elsewhere(backend):
    """On CPU the two backends share one buffer; the in-place method must make a new one."""
    x = un.tensor(A)
    for other in set(un.available_backends()) - {backend}:
        moved = x.to(backend=other)
        with un.no_grad():
            x.add_(1)
        np.testing.assert_array_equal(moved.numpy() + 1, x.numpy())


def test_native_and_back(backend):
    x = un.tensor(A)
    native = x.native
    again = un.from_native(native)
    assert again.backend == backend
    assert again.native is native


def test_dlpack_protocol(backend):
    np.testing.assert_array_equal(torch.from_dlpack(un.tensor(A)).numpy(), A)


def test_dtype_conversion_and_gradient(backend):
    x = un.tensor(A, requires_grad=True)
    y = x.to(un.float16)
    assert y.dtype is un.float16
    y.to(un.float32).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.ones_like(A))
    assert x.to(un.int32).tolist() == A.astype(np.int32).tolist()
    assert x.to(x) is x


def test_pickling_keeps_backend_dtype_and_grad_flag(backend):
    x = un.tensor(A, requires_grad=True)
    again = pickle.loads(pickle.dumps(x))
    assert (again.backend, again.dtype, again.requires_grad) == (backend, un.float32, True)
    np.testing.assert_array_equal(again.detach().numpy(), A)


def test_32_bits_unless_asked(backend):
    assert un.tensor([1.0]).dtype is un.float32
    assert un.tensor([1]).dtype is un.int32
    assert un.tensor(np.ones(2)).dtype is un.float32
    assert un.tensor(np.ones(2), dtype=un.float64).dtype is un.float64
    assert un.arange(3).dtype is un.int32


def test_jax_stays_in_its_own_32_bit_mode():
    import jax

    with un.backend("jax"):
        x = un.tensor([1.0, 2.0], dtype=un.float64, requires_grad=True)
        (x * x).sum().backward()
        assert x.grad.dtype is un.float64
        assert not jax.config.jax_enable_x64
        assert jax.numpy.ones(3).dtype == np.float32


def test_devices(backend):
    assert un.device("cuda:1") == un.device("gpu", 1)
    with un.device("cpu"):
        assert un.zeros(2).device == "cpu"
    assert un.zeros(2, device="cpu").to("cpu").device == un.device("cpu")

"""Tensors out of data, out of other frameworks' tensors and out of nothing. Values are exact throughout."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch

import unified as un


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (3, un.int32), (2.5, un.float32), (True, un.bool), (1j, un.complex64), ([1, 2], un.int32),
        ([[1, 2.0], [3, 4]], un.float32), ([], un.float32), (np.arange(3), un.int32), (np.ones(2), un.float32),
        (np.ones(2, np.float16), un.float16), (np.ones(2, np.uint8), un.uint8), (np.ones(2, "c16"), un.complex64),
        (np.ones(2, ml_dtypes.bfloat16), un.bfloat16), (np.float64(2), un.float32), ([[True], [False]], un.bool),
        (np.zeros((2, 0, 3)), un.float32), ((1, 2), un.int32),
    ],
    ids=repr,
)  # fmt: skip
def test_tensor_of_data(backend, data, dtype):
    x = un.tensor(data)
    assert x.dtype is dtype
    assert x.backend == backend
    assert tuple(x.shape) == np.shape(data)
    np.testing.assert_array_equal(x.numpy(), np.asarray(data).astype(dtype.numpy))


@pytest.mark.parametrize("dtype", [un.int64, un.float64, un.uint8, un.bool, un.complex128, un.bfloat16, un.float16])
def test_dtype_is_what_is_asked_for(backend, dtype):
    for made in (un.tensor([0, 1], dtype=dtype), un.zeros(2, dtype=dtype), un.full((2,), 1, dtype=dtype),
                 un.ones_like(un.zeros(2), dtype=dtype), un.tensor(np.ones(2), dtype=dtype)):  # fmt: skip
        assert made.dtype is dtype
    assert un.ones(2, dtype=dtype).tolist() == [1, 1]
    assert un.tensor([2**40], dtype=un.int64).tolist() == [2**40]


def test_data_is_copied(backend):
    array = np.zeros(1000, np.float32)
    x, y = un.tensor(array), un.from_numpy(array)
    array[:] = 1
    assert not x.numpy().any()
    assert not y.numpy().any()
    copy = un.tensor(x)
    copy.add_(1)
    assert not x.numpy().any()


def test_lists_of_tensors(backend):
    assert un.tensor([un.tensor(1.0), 2, un.tensor(3)]).tolist() == [1, 2, 3]
    assert un.tensor([[un.tensor(1), un.tensor(2)], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    x = un.ones(2, requires_grad=True)
    assert not un.tensor(x).requires_grad
    assert un.tensor(x, requires_grad=True).is_leaf
    assert un.as_tensor(x) is x
    assert un.as_tensor([1.0]).tolist() == [1]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: un.tensor([[1, 2], [3]]), un.errors.ShapeError, "equal lengths"),
        (lambda: un.tensor("abc"), un.errors.DTypeError, "numbers and bools"),
        (lambda: un.tensor([None]), un.errors.DTypeError, "numbers and bools"),
        (lambda: un.tensor(2**40), un.errors.ArgumentError, "dtype=un.int64"),
        (lambda: un.tensor([1], requires_grad=True), un.errors.DTypeError, "cannot require grad"),
        (lambda: un.tensor(1.0, device="gpu:77"), un.errors.DeviceError, "is not here"),
        (lambda: un.zeros(2, device="gpu:77"), un.errors.DeviceError, "is not here"),
        (lambda: un.zeros(2, -1), un.errors.ShapeError, "negative length"),
        (lambda: un.arange(0, 3, -1), un.errors.ArgumentError, "does not lead"),
        (lambda: un.arange(3, step=0), un.errors.ArgumentError, "step 0"),
        (lambda: un.linspace(0, 1, -1), un.errors.ArgumentError, "steps"),
        (lambda: un.from_native([1]), un.errors.OperandError, "no tensor of a registered"),
        (lambda: un.from_numpy([1]), un.errors.OperandError, "numpy array"),
        (lambda: un.zeros(2).fill_(un.zeros(2)), un.errors.ShapeError, "0-d"),
        (lambda: un.zeros(2).copy_(un.zeros(3)), un.errors.ShapeError, "cannot be expanded"),
        (lambda: un.zeros(2).copy_(3), un.errors.OperandError, "fill_"),
    ],
)  # fmt: skip
def test_refusals_read_the_same(backend, call, error, words):
    with pytest.raises(error, match=words):
        call()


OUT_OF_NOTHING = {
    "zeros": lambda u: u.zeros(2, 3),
    "zeros tuple": lambda u: u.zeros((2, 3)),
    "zeros scalar": lambda u: u.zeros(()),
    "ones": lambda u: u.ones(2, 0),
    "full": lambda u: u.full((2, 2), 7.5),
    "full bool": lambda u: u.full((2,), True),
    "eye": lambda u: u.eye(3),
    "eye wide": lambda u: u.eye(2, 4),
    "arange float": lambda u: u.arange(0, 1, 0.1),
    "arange float down": lambda u: u.arange(1.0, -1, -0.25),
    "linspace": lambda u: u.linspace(-1, 3, 9),
    "linspace one": lambda u: u.linspace(2, 3, 1),
    "zeros_like": lambda u: u.zeros_like(u.ones(2, 3)),
    "ones_like": lambda u: u.ones_like(u.zeros(2), dtype=u.int32),
    "full_like": lambda u: u.full_like(u.zeros(2), 3),
    "new_zeros": lambda u: u.ones(1, dtype=u.float64).new_zeros(2, 3),
    "new_ones": lambda u: u.ones(1, dtype=u.int32).new_ones((2,)),
    "new_full": lambda u: u.ones(1).new_full((2, 2), 4),
    "new_tensor": lambda u: u.ones(1, dtype=u.float64).new_tensor([1, 2]),
    "fill_": lambda u: u.zeros(2, 2).fill_(3),
    "zero_": lambda u: u.ones(2, 2).zero_(),
    "copy_": lambda u: u.zeros(2, 3).copy_(u.arange(3)),
}


@pytest.mark.parametrize("name", OUT_OF_NOTHING)
def test_as_torch(backend, name):
    got, want = OUT_OF_NOTHING[name](un), OUT_OF_NOTHING[name](torch)
    assert got.backend == backend
    assert got.dtype.name == str(want.dtype).removeprefix("torch.")
    np.testing.assert_array_equal(got.numpy(), want.numpy())


@pytest.mark.parametrize("args", [(5,), (2, 7), (1, 10, 3), (10, 1, -3), (0,), (-3, 3), (10, 1, -4)], ids=str)
def test_arange_of_ints(backend, args):
    got = un.arange(*args)
    assert got.dtype is un.int32
    assert got.tolist() == torch.arange(*args).tolist() == un.arange(*args, dtype=un.float32).tolist()
    assert un.arange(*args, dtype=un.int64).dtype is un.int64


def test_gradients_start_at_leaves_only(backend):
    x = un.ones(2, requires_grad=True)
    assert x.requires_grad
    assert x.is_leaf
    assert not un.zeros_like(x).requires_grad
    assert un.full((2,), 1.5, requires_grad=True).requires_grad
    y = un.zeros(3, 2)
    y.copy_(x * 2)
    y.sum().backward()
    assert x.grad.tolist() == [6, 6]
    z, value = un.zeros(4), un.tensor(3.0, requires_grad=True)
    z.fill_(value).sum().backward()
    assert value.grad.item() == 4
    with un.no_grad():
        x.fill_(9)
    assert x.tolist() == [9, 9]
    assert x.requires_grad


def test_copy_comes_from_any_backend(backend):
    with un.backend("torch"):
        source = un.tensor([1.5, 2.5], requires_grad=True)
    x = un.zeros(2, dtype=un.int32).copy_(source)
    assert x.tolist() == [1, 2]
    assert x.backend == backend


def test_from_native_round_trip(backend):
    native = un.tensor([1.0, 2.0]).native
    x = un.from_native(native)
    assert x.native is native
    assert x.backend == backend
    assert (x * 2).tolist() == [2, 4]


def test_from_native_of_every_framework():
    import jax
    import jax.numpy as jnp
    import tensorflow as tf

    with jax.enable_x64(True):
        wide = jnp.arange(3, dtype=jnp.float64)
    assert (un.from_native(wide) + 2**-40).numpy().dtype == np.float64
    assert un.from_native(wide).dtype is un.float64
    variable = un.from_native(tf.Variable([1.0, 2.0]))
    assert variable.backend == "tensorflow"
    assert (variable + 1).tolist() == [2, 3]
    leaf = torch.ones(2, requires_grad=True)
    ours = un.from_native(leaf)
    assert ours.requires_grad
    (ours * 3).sum().backward()
    assert ours.grad.tolist() == [3, 3]


def test_from_native_loads_the_backend():
    """In a process of its own, whose registry has loaded nothing yet."""
    import subprocess
    import sys

    code = "import jax.numpy as jnp, unified as un; print(un.from_native(jnp.ones(2)).backend)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "jax"


def test_devices(backend):
    assert un.zeros(2, device="cpu").device == un.device("cpu")
    with un.device("cpu"):
        assert un.tensor([1]).device == "cpu"


def test_dtypes():
    x = un.ones(2, dtype=un.int32)
    assert un.result_type(x, 0.5) is un.float32
    assert un.result_type(x, un.tensor(2, dtype=un.int64)) is un.int32
    assert un.get_default_dtype() is un.float32
    assert un.is_tensor(x)
    assert not un.is_tensor(3)

"""Tensors out of nothing on JAX: small cached programs, on the device that is asked for."""

from __future__ import annotations

import contextlib
import functools

import jax
import jax.numpy as jnp

from unified.backends.jax import device as _device
from unified.backends.jax.dtype import enable_x64, to_native, wide
from unified.backends.protocol import Natives

natives = Natives()


@functools.partial(jax.jit, static_argnums=(0, 2))
def _full(size, value, dtype):
    return jnp.full(size, value, dtype)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _arange(start, step, length, dtype):
    return start.astype(dtype) + jnp.arange(length, dtype=dtype) * step.astype(dtype)


@contextlib.contextmanager
def _scope(dtype, device):
    """Where and how wide the program's result is: both are settings of the call, not arguments."""
    with contextlib.ExitStack() as stack:
        if device is not None:
            stack.enter_context(jax.default_device(_device.to_native(device)))
        if dtype.is_wide:
            wide.used = True
            stack.enter_context(enable_x64(True))
        yield


@natives.having("eager")
def make_full(size, value, dtype, device):
    if device is None and not dtype.is_wide:
        return _full(size, value, to_native(dtype))
    with _scope(dtype, device):
        return _full(size, value, to_native(dtype))


@natives.having("eager")
def make_arange(start, step, length, dtype, device):
    with _scope(dtype, device):
        number = to_native(dtype).type
        return _arange(number(start), number(step), length, to_native(dtype))


@natives
def make_full_like(input, value, dtype):
    return jnp.full_like(input, value, dtype=None if dtype is None else to_native(dtype))


@functools.partial(jax.jit, static_argnums=(2, 4))
def _spaced(start, end, steps, base, dtype):
    wide = jnp.complex128 if jnp.issubdtype(dtype, jnp.complexfloating) else jnp.float64
    first, last = (jnp.asarray(limit).astype(wide) for limit in (start, end))
    if jnp.issubdtype(dtype, jnp.integer):
        first, last = jnp.trunc(first), jnp.trunc(last)
    place = jnp.arange(steps, dtype=jnp.int32).astype(wide)
    stride = (last - first) / max(steps - 1, 1)
    rising, falling = first + stride * place, last - stride * (steps - 1 - place)
    values = jnp.where(jnp.arange(steps) < max(steps // 2, steps == 1), rising, falling)
    return (values if base is None else jnp.asarray(base).astype(wide) ** values).astype(dtype)


@natives.having("eager")
def make_spaced(start, end, steps, base, dtype, device):
    with _scope(dtype, device), enable_x64(True):
        return _spaced(start, end, steps, base, to_native(dtype))

"""Devices between the front end and JAX."""

from __future__ import annotations

import functools
import gc

import jax

from unified.backends.protocol import device, errors, resident

_OURS = {"cpu": "cpu", "gpu": "gpu", "cuda": "gpu", "rocm": "gpu", "tpu": "tpu"}


@functools.lru_cache
def from_native(place: jax.Device) -> device:
    peers = jax.devices(place.platform)
    return device(_OURS.get(place.platform, "cpu"), peers.index(place) if place in peers else 0)


@functools.lru_cache
def to_native(place: device) -> jax.Device:
    """Raises DeviceError where the device is not here."""
    for native in _all():
        if from_native(native) == place:
            return native
    listed = ", ".join(repr(str(d)) for d in devices())
    raise errors.DeviceError(f"device {str(place)!r} is not here; the jax backend has {listed}")


@functools.lru_cache
def _all() -> tuple[jax.Device, ...]:
    found = list(jax.devices())
    if all(d.platform != "cpu" for d in found):
        found += jax.devices("cpu")
    return tuple(found)


def devices() -> list[device]:
    return [from_native(native) for native in _all()]


def default_device() -> device:
    return from_native(jax.devices()[0])


def memory_stats(place):
    """XLA's allocators count on accelerators; on the CPU the system does."""
    native = to_native(place)
    found = native.memory_stats()
    if place.type == "cpu" or found is None:
        return resident()
    names = {"in use": "bytes_in_use", "peak": "peak_bytes_in_use", "reserved": "bytes_reserved"}
    return {ours: found[theirs] for ours, theirs in names.items() if theirs in found}


def empty_cache() -> None:
    gc.collect()  # buffers and programs in cycles; XLA's allocators do not shrink


def set_memory_growth(enabled, place) -> None:
    """XLA reads its environment when JAX starts, which is over by now."""
    if place is not None and to_native(place).platform == "cpu":
        if not enabled:
            raise errors.DeviceError("set_memory_growth(False): the CPU's memory is always taken as it is needed")
    elif any(native.platform != "cpu" for native in _all()):
        raise errors.DeviceError(
            "set_memory_growth: JAX decides when it starts; set "
            f"XLA_PYTHON_CLIENT_PREALLOCATE={'false' if enabled else 'true'} in the environment of the process"
        )

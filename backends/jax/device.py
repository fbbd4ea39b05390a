"""Devices between the front end and JAX."""

from __future__ import annotations

import functools

import jax

from unified.backends.protocol import device, errors

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

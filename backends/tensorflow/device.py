"""Devices between the front end and TensorFlow."""

from __future__ import annotations

import functools

import tensorflow as tf

from unified.backends.protocol import device, errors

_OURS = {"CPU": "cpu", "GPU": "gpu", "TPU": "tpu"}
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}


@functools.lru_cache
def from_native(name: str) -> device:
    """``/job:localhost/replica:0/task:0/device:GPU:1`` is ``gpu:1``; no name at all is the default device."""
    if not name:
        return default_device()
    kind, index = name.rsplit("/", 1)[-1].removeprefix("device:").split(":")
    return device(_OURS.get(kind.upper(), "cpu"), int(index))


@functools.lru_cache
def to_native(place: device) -> str:
    """Raises DeviceError where the device is not here."""
    if place not in devices():
        listed = ", ".join(repr(str(d)) for d in devices())
        raise errors.DeviceError(f"device {str(place)!r} is not here; the tensorflow backend has {listed}")
    return f"/device:{_THEIRS[place.type]}:{place.index}"


def devices() -> list[device]:
    found = []
    for logical in tf.config.list_logical_devices():
        if logical.device_type in _OURS:
            found.append(device(_OURS[logical.device_type], int(logical.name.rsplit(":", 1)[1])))
    return found


def default_device() -> device:
    found = devices()
    accelerators = [place for place in found if place.type != "cpu"]
    return accelerators[0] if accelerators else found[0]

"""Devices between the front end and TensorFlow."""

from __future__ import annotations

import functools
import gc

import tensorflow as tf

from unified.backends.protocol import device, errors, resident

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


def memory_stats(place):
    """TensorFlow's allocators count on accelerators; on the CPU the system does."""
    name = to_native(place)
    if place.type == "cpu":
        return resident()
    found = tf.config.experimental.get_memory_info(name.removeprefix("/device:"))
    return {"in use": found["current"], "peak": found["peak"]}


def empty_cache() -> None:
    gc.collect()  # tensors and programs in cycles; TensorFlow's allocators do not shrink


def set_memory_growth(enabled, place) -> None:
    """TensorFlow reads this when it first uses a device."""
    if place is not None and place.type == "cpu":
        to_native(place)
        if not enabled:
            raise errors.DeviceError("set_memory_growth(False): the CPU's memory is always taken as it is needed")
        return
    physical = tf.config.list_physical_devices("GPU")
    chosen = physical if place is None else physical[place.index : place.index + 1]
    if place is not None and not chosen:
        to_native(place)
    try:
        for native in chosen:
            tf.config.experimental.set_memory_growth(native, enabled)
    except RuntimeError as error:
        raise errors.DeviceError(
            "set_memory_growth: TensorFlow decides when it first uses a device; set "
            f"TF_FORCE_GPU_ALLOW_GROWTH={'true' if enabled else 'false'} in the environment of the process"
        ) from error

"""Devices between the front end and PyTorch."""

from __future__ import annotations

import functools

import torch

from unified.backends.protocol import device, errors, resident

_OURS = {"cpu": "cpu", "cuda": "gpu", "xla": "tpu", "tpu": "tpu"}


@functools.lru_cache
def from_native(place: torch.device) -> device:
    return device(_OURS.get(place.type, "cpu"), place.index or 0)


@functools.lru_cache
def to_native(place: device) -> torch.device:
    """Raises DeviceError where the device is not here."""
    if place not in devices():
        listed = ", ".join(repr(str(d)) for d in devices())
        raise errors.DeviceError(f"device {str(place)!r} is not here; the torch backend has {listed}")
    if place.type == "gpu":
        return torch.device("cuda", place.index)
    return torch.device(place.type, place.index) if place.type != "cpu" else torch.device("cpu")


def devices() -> list[device]:
    found = [device("cpu")]
    found += [device("gpu", i) for i in range(torch.cuda.device_count())]
    if getattr(torch, "tpu", None) is not None:  # torch-tpu registers its device under this name
        found += [device("tpu", i) for i in range(torch.tpu.device_count())]
    return found


def default_device() -> device:
    return device("gpu") if torch.cuda.is_available() else device("cpu")


def memory_stats(place):
    """CUDA's allocator counts; on the CPU the system does."""
    native = to_native(place)
    if place.type != "gpu":
        return resident()
    return {
        "in use": torch.cuda.memory_allocated(native),
        "peak": torch.cuda.max_memory_allocated(native),
        "reserved": torch.cuda.memory_reserved(native),
    }


def empty_cache() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def set_memory_growth(enabled, place) -> None:
    """PyTorch grows, always."""
    if place is not None:
        to_native(place)
    if not enabled:
        raise errors.DeviceError("set_memory_growth(False): PyTorch takes memory as it is needed and in no other way")

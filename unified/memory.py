"""What the frameworks' allocators hold, and what they may be told."""

from __future__ import annotations

from unified._device import device as Device
from unified._selection import current_backend
from unified.backends.protocol import Backend, MemoryManager
from unified.errors import UnsupportedOpError


def memory_stats(device: Device | str | None = None) -> dict[str, int]:
    """Bytes on a device: ``in use``, the ``peak`` of that, and what the allocator has ``reserved``.

    Accelerators: the framework's own counts; what it does not count is absent. CPU: no framework counts there, so
    ``in use`` is the process's resident memory and ``peak`` the most that it ever was, Python and everything else
    in it included. ``reserved`` is then the same as ``in use``.

    Args:
        device: by default the backend's default device.

    Raises:
        DeviceError: it is not here.
    """
    backend, manager = _manager()
    return dict(manager.memory_stats(backend.default_device() if device is None else Device(device)))


def empty_cache() -> None:
    """Gives freed memory that the allocator keeps for reuse back to the device; nothing to do on the CPU.

    On JAX and TensorFlow this drops programs that nobody holds; their allocators cannot be told to shrink.
    """
    _manager()[1].empty_cache()


def set_memory_growth(enabled: bool, device: Device | str | None = None) -> None:
    """Whether a device's memory is taken as it is needed rather than nearly all of it at once.

    PyTorch always takes what it needs, and the CPU is always shared, so there True is what is and False is refused.
    JAX and TensorFlow decide when they start, and there an error names the environment variable to set; where there
    is no accelerator, there is nothing to do.

    Args:
        device: by default every accelerator.

    Raises:
        DeviceError: it is too late, or the device has no such choice.
    """
    _manager()[1].set_memory_growth(enabled, None if device is None else Device(device))


def _manager() -> tuple[Backend, MemoryManager]:
    backend = current_backend()
    if not isinstance(backend, MemoryManager):
        raise UnsupportedOpError(f"the {backend.name} backend does not manage memory")
    return backend, backend

"""Where random numbers come from: a counter-based generator whose whole state is one Tensor of four words.

The stream is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) with the seed as
its key and the offset, in blocks of four words, as its counter. The same seed therefore gives the same bits on every
backend and device, eager or compiled, and ``un.compile`` lifts the state like that of any other Tensor.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from typing import Any

import numpy as np

from unified._custom import recomputed_state
from unified._device import current_device
from unified._device import device as Device
from unified._dispatch import tracing, wrap
from unified._dtype import int32
from unified._selection import current_backend
from unified._tensor import Tensor
from unified.backends import registry
from unified.backends.protocol import Backend
from unified.errors import ArgumentError, OperandError, ShapeError

_UNSEEDED = 67280421310721
"""What ``Generator()`` starts from, as in PyTorch; the default generators start from the system's entropy."""


def _key(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise OperandError(f"a seed must be an int, not {type(seed).__name__}")
    if not -(2**63) <= seed < 2**64:
        raise ArgumentError(f"a seed must fit into 64 bits, and {seed} does not")
    return int(seed) % 2**64


def _words(seed: int, offset: int = 0) -> np.ndarray[Any, Any]:
    words = [seed % 2**32, seed // 2**32, offset % 2**32, offset // 2**32]
    return np.array(words, dtype=np.uint32).view(np.int32)


class Generator:
    """A stream of random numbers on one backend.

    Args:
        seed: 64 bits; without one, the same fixed seed every time, as in PyTorch.
        device: where the state lives and draws are made; by default the backend's default device.
        backend: by default the current one.
        impl: "philox" for the same numbers everywhere; "native" for uniforms, normals and dropout masks out of the
            framework's own generator, seeded by this one's state, where speed counts more. Inside ``un.compile``
            PyTorch then draws from its global stream, whatever the state.

    Example: ``un.rand(3, generator=un.Generator(0))`` draws the same three numbers on every backend.

    Raises:
        ArgumentError: the seed does not fit into 64 bits; ``impl`` is unknown.
        UnknownBackendError, MissingBackendError: there is no such backend here.
    """

    __slots__ = ("_backend", "impl", "state")

    state: Tensor
    """int32 of shape (4,): low and high word of the seed, then of the offset in blocks of four words."""

    def __init__(
        self, seed: int | None = None, device: Device | str | None = None, backend: str | None = None, *,
        impl: str = "philox",
    ) -> None:  # fmt: skip
        if impl not in ("philox", "native"):
            raise ArgumentError(f"a generator's impl is 'philox' or 'native', not {impl!r}")
        self.impl = impl
        self._backend = current_backend() if backend is None else registry.load(backend)
        place = current_device() if device is None else Device(device)
        words = _words(_UNSEEDED if seed is None else _key(seed))
        self.state = wrap(self._backend.from_numpy(words, int32, place))

    def __repr__(self) -> str:
        return f"<unified.Generator on {self.backend}>"

    @property
    def backend(self) -> str:
        """Name of the backend it draws on."""
        return self._backend.name

    @property
    def device(self) -> Device:
        """Where it draws."""
        return self.state.device

    def manual_seed(self, seed: int) -> Generator:
        """Starts the stream of ``seed`` from its beginning; returns itself.

        Raises:
            ArgumentError: the seed does not fit into 64 bits.
        """
        self._write(_words(_key(seed)))
        return self

    def seed(self) -> int:
        """Starts a stream that nobody knows, from the system's entropy; returns its seed."""
        seed = secrets.randbits(64)
        self._write(_words(seed))
        return seed

    def initial_seed(self) -> int:
        """The seed of the stream."""
        low, high, *_ = np.asarray(self.state).view(np.uint32).tolist()
        return int(low) + (int(high) << 32)

    def get_state(self) -> Tensor:
        """A copy of the state: an int32 Tensor of four words, the same on every backend."""
        output: Tensor = self.state.clone()
        return output

    def set_state(self, state: Tensor) -> Generator:
        """Goes on from a state that ``get_state`` returned, on any backend; returns itself.

        Raises:
            ShapeError: it is not a Tensor of four int32 words.
        """
        if not isinstance(state, Tensor) or tuple(state.shape) != (4,) or state.dtype is not int32:
            raise ShapeError("a generator's state is an int32 Tensor of shape (4,), as get_state() returns it")
        self.state._assign(state.detach().to(backend=self.backend, device=self.device).clone())
        return self

    def _write(self, words: np.ndarray[Any, Any]) -> None:
        self.state._assign(wrap(self._backend.from_numpy(words, int32, self.device)))


_seed = secrets.randbits(64)
_defaults: dict[str, Generator] = {}


def default_generator(backend: str | None = None) -> Generator:
    """The generator that draws use when none is given: one for each backend; by default the current one's."""
    return _defaults[(current_backend() if backend is None else registry.load(backend)).name]


def manual_seed(seed: int) -> Generator:
    """Seeds the default generator of every backend, of those not loaded yet as well.

    Inside a compiled function it seeds that of the current backend, the only one that the program can hold.

    Returns:
        The current backend's default generator.

    Raises:
        ArgumentError: the seed does not fit into 64 bits.
    """
    global _seed
    _seed = _key(seed)
    for generator in _reachable():
        generator.manual_seed(_seed)
    return default_generator()


def _reachable() -> list[Generator]:
    """The default generators that code here can change: in a compiled function that of the current backend."""
    return [*_defaults.values()] if tracing() is None else [default_generator()]


def seed() -> int:
    """Seeds every default generator from the system's entropy; returns the seed."""
    chosen = secrets.randbits(64)
    manual_seed(chosen)
    return chosen


def initial_seed() -> int:
    """The seed of the current backend's default generator."""
    return default_generator().initial_seed()


def get_rng_state() -> Tensor:
    """The state of the current backend's default generator; see :meth:`Generator.get_state`."""
    return default_generator().get_state()


def set_rng_state(state: Tensor) -> None:
    """Sets the state of the current backend's default generator; see :meth:`Generator.set_state`."""
    default_generator().set_state(state)


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True) -> Iterator[None]:
    """Puts the states of every backend's default generator back when the block ends.

    Inside a compiled function that of the current backend, the only one that the program can hold.

    Args:
        devices: taken for PyTorch's sake; a generator has one stream for all devices.
        enabled: False makes it do nothing.
    """
    held = [(generator, generator.get_state()) for generator in _reachable()] if enabled else []
    try:
        yield
    finally:
        for generator, state in held:
            generator.set_state(state)


def _provide(backend: Backend) -> None:
    """A default generator exists from the moment its backend is loaded, so that no trace ever makes one."""
    generator = Generator.__new__(Generator)
    generator._backend, generator.impl = backend, "philox"
    generator.state = wrap(backend.from_numpy(_words(_seed), int32, None))
    _defaults[backend.name] = generator


recomputed_state.append(lambda backend: default_generator(backend).state)
for _backend in registry.loaded():
    _provide(_backend)
registry.on_load(_provide)

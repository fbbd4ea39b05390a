"""The contract between the front end and a backend, and all that a backend may import from the front end.

A backend is one object with the attributes of :class:`Backend`. It is imported only when it is first used, it
may be missing, and it may be broken; the registry deals with all three, so nothing here imports a framework.

What the front end promises: natives get *native* tensors, never ours, in the positional order of the op's
public signature; sequences of dims arrive as tuples; dtypes arrive as :class:`DType`, devices as
:class:`device`. What a backend promises: a native never changes its operands, returns native tensors (a tuple or
list of them where the op returns several), follows PyTorch's documented semantics, and raises on bad input.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

from unified import _cache as cache
from unified import errors
from unified._device import device
from unified._dtype import DType, Number, dtype_named, promote_types, result_type, scalar_dtype
from unified._index import Axis, AxisKind
from unified._liveness import Step, peak
from unified._resident import resident
from unified._tape import FREED
from unified.backends.compilers import Compiler, ControlFlow, Executable, Lowering, Pure, Section
from unified.backends.modules import (
    AdaptedModule,
    Cell,
    Exported,
    Member,
    ModuleAdapter,
    ModuleExporter,
    Native,
    NativeCall,
)  # fmt: skip
from unified.backends.ownership import held_elsewhere
from unified.backends.recurrence import by_direction

__all__ = [
    "AdaptedModule",
    "Axis",
    "AxisKind",
    "Backend",
    "BatchLevel",
    "Cell",
    "CheckpointReader",
    "Compiler",
    "ControlFlow",
    "DType",
    "DualLevel",
    "Engine",
    "Executable",
    "Exported",
    "FAMILIES",
    "FREED",
    "FrontEnd",
    "Lowering",
    "Member",
    "MemoryManager",
    "ModuleAdapter",
    "ModuleExporter",
    "Native",
    "NativeCall",
    "Natives",
    "Number",
    "OpSpec",
    "Place",
    "Pure",
    "ReverseLevel",
    "SHAPE_BY_VALUE",
    "Section",
    "Slots",
    "Step",
    "Transforms",
    "VALUE_ASKED",
    "by_direction",
    "cache",
    "device",
    "dtype_named",
    "errors",
    "held_elsewhere",
    "peak",
    "promote_types",
    "resident",
    "result_type",
    "scalar_dtype",
]

Place = device
"""The same class under another name, for :class:`Backend`, where ``device`` is a method."""

SHAPE_BY_VALUE = "the result's shape depends on values, which differ between the examples of a batch"
VALUE_ASKED = (
    "a value was asked for inside un.func.vmap (x.item(), x.numpy(), `if x:`, print(x)), where a Tensor stands for "
    "a whole batch of them; use un.where(condition, a, b) to choose between values, or move this line out of the "
    "function"
)
"""What is said of ``vmap`` everywhere."""


FAMILIES = (
    "activation",
    "arithmetic",
    "bridges",
    "complex",
    "contraction",
    "convolution",
    "creation",
    "distance",
    "elementwise",
    "factorization",
    "fft",
    "indexing",
    "joining",
    "linalg",
    "loss",
    "nn",
    "optim",
    "order",
    "pooling",
    "random",
    "recurrent",
    "reduction",
    "resampling",
    "scan",
    "scatter",
    "search",
    "shape",
    "solve",
    "special",
    "spectrogram",
    "statistics",
)
"""Modules of natives that each backend has, one a family of ops, under the same names."""


class Natives(dict[str, Callable[..., Any]]):
    """One family's natives by op name: a decorator for functions, a call for what the framework already has.

    ``@natives`` registers a function under its own name; ``natives(relu=torch.relu)`` registers an alias.
    ``@natives.having("eager")`` also gives the op traits, words that this backend's ``implement`` understands:

    - ``eager``: the result's shape depends on values, so that the op is never compiled alone;
    - ``program``: many kernels, worth one cached program (a backend whose natives run eagerly);
    - ``unjitted``: kept from XLA, whose kernel is slower or less exact, with every op that contains it;
    - ``or composite``: is given the composite before the operands, for those that its kernel does not take.
    """

    def __init__(self) -> None:
        super().__init__()
        self.traits: dict[str, frozenset[str]] = {}

    def __call__(self, function: Callable[..., Any] | None = None, /, **named: Callable[..., Any]) -> Any:
        if function is not None:
            self[function.__name__] = function
        self.update(named)
        return function

    def having(self, *traits: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.traits[function.__name__] = frozenset(traits)
            self(function)
            return function

        return register

    def has(self, name: str, trait: str) -> bool:
        return trait in self.traits.get(name, ())

    @classmethod
    def of(cls, package: str) -> Natives:
        """All families of a backend's package; two natives for one name are a mistake, and an error."""
        return cls().merge(importlib.import_module(f"{package}.{family}").natives for family in FAMILIES)

    def merge(self, families: Iterable[Natives]) -> Natives:
        """Joins families."""
        for family in families:
            twice = self.keys() & family.keys()
            if twice:
                raise ValueError(f"two natives are registered for {sorted(twice)}")
            self.update(family)
            self.traits.update(family.traits)
        return self


class OpSpec(Protocol):
    """What a backend sees of an op."""

    name: str
    static: tuple[int, ...]
    """Positions of arguments that are hashable and part of the program (dims, flags, dtypes)."""
    composite: Callable[..., Any] | None
    """The op over native tensors, made of other ops; None where the op must be native."""

    @property
    def primal(self) -> OpSpec | None:
        """For an op derived from another: that one."""

    transform: str
    """How it is derived; "" where it is not. The operands that ``mask`` names are the masked ones.

    - "pullback": (*arguments, cotangents of the outputs) to the cotangents of the masked operands;
    - "pushforward": (*arguments, tangents of the masked operands) to the outputs, then their tangents, with None
      for the tangent of an output that is not inexact;
    - "batched": the op with a batch dimension in front of each masked operand, and so of every output.
    """

    parameters: tuple[Any, ...]
    """Each with ``name`` and ``kind``, in the order natives receive them."""

    whole_program: bool
    """Whether the composite is a function that the user compiled: it must run as one program."""

    def guard(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function`` behind the op's check of shapes and dtypes, for natives that accept what PyTorch refuses."""

    def within(self, function: Callable[..., Any], host: Callable[[Native], Any]) -> Callable[..., Any]:
        """``function`` behind a look at its indices through ``host``, for natives where an index clamps or wraps."""

    def chosen(self, operands: Sequence[Any]) -> list[Any]:
        """The operands that the mask of a derived op names."""

    def of_chosen(self, function: Callable[..., Any], operands: Sequence[Any]) -> Callable[..., Any]:
        """``function`` of these operands alone, with the other ones as they are in ``operands``."""

    @property
    def implementations(self) -> Mapping[Any, Callable[..., Any]]:
        """The callables that run the op, by type of native."""

    def pullback(self, mask: tuple[tuple[int, int], ...]) -> OpSpec:
        """The op (*arguments, cotangents) to cotangents of the operands that ``mask`` names."""

    mask: tuple[tuple[int, int], ...]
    """For a derived op: the masked operands, as (position, index in a sequence or -1)."""


class Slots(Protocol):
    """The slots of a front-end Tensor that an :class:`Engine` reads and writes."""

    _native: Native
    _grad: Any
    _hooks: Any
    _shared: bool


class FrontEnd(Protocol):
    """What the front end does for an engine that a backend brings."""

    def wrap(self, native: Native) -> Any:
        """A front-end Tensor around a native."""

    def recording(self, enabled: bool) -> Any:
        """A context in which ops record or do not, for the front end and every engine."""

    def check_gradient(self, changed: Any, gradient: Any, what: str) -> None:
        """Raises unless the Tensor ``changed`` can stand for ``gradient``."""

    def checks_nan(self) -> bool:
        """Whether a backward pass is to raise where it makes NaN."""

    def listens(self) -> bool:
        """Whether somebody wants to be told what each op computes."""

    def computed(self, name: str, natives: Sequence[Native], frames: Sequence[tuple[str, str, str]]) -> None:
        """Tells of the gradients that the backward of the op ``name`` made."""

    def anomaly(self, name: str, position: int, frames: Sequence[tuple[str, str, str]]) -> Exception:
        """The error about that, by the op's name and the stack of (file, line, function) that recorded it."""


class BatchLevel(Protocol):
    """One ``vmap`` while its function runs: a context manager that moves Tensors in and out."""

    wraps: bool
    """Whether Tensors within have other values than the natives outside. Every level says so."""
    constructs: bool
    """Whether :class:`ControlFlow` takes what is within; else loops and branches are written out. Likewise."""
    size: int
    randomness: str
    drawn: list[Any] | None
    """Where several levels run the chunks of one batch with the same numbers: those that were drawn so far."""
    cursor: int
    """How many of them this level has used."""

    def __enter__(self) -> Any: ...
    def __exit__(self, *exception: object) -> None: ...
    def put(self, tensor: Any, dim: int) -> Any:
        """Inside: each slice of ``tensor`` along ``dim``."""

    def varies(self, tensor: Any) -> bool:
        """Whether it depends on the example."""

    def take(self, tensor: Any) -> Any:
        """Outside: all examples of it along dimension 0."""

    def lower(self, tensor: Any) -> Any:
        """Outside: what does not vary."""


class DualLevel(Protocol):
    """One ``jvp`` while its function runs."""

    wraps: bool
    constructs: bool

    def __enter__(self) -> Any: ...
    def __exit__(self, *exception: object) -> None: ...
    def put(self, tensor: Any, tangent: Any) -> Any:
        """Inside: ``tensor`` moving along ``tangent``."""

    def take(self, tensor: Any) -> tuple[Any, Any]:
        """Outside: the value and its tangent, None where it is zero."""


class ReverseLevel(Protocol):
    """One ``grad`` or ``vjp`` while its function runs, with recording on."""

    wraps: bool
    constructs: bool

    def __enter__(self) -> Any: ...
    def __exit__(self, *exception: object) -> None: ...
    def put(self, tensor: Any) -> Any:
        """Inside: an alias of ``tensor`` that derivatives are taken by; ``tensor`` itself stays a constant."""

    def take(self, tensor: Any) -> Any:
        """Outside: the value, in the graphs that were there before."""

    def gradients(self, roots: Sequence[Any], cotangents: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
        """Outside, also after the level is over: cotangents of what ``put`` gave; None where there is none."""


class Transforms(Protocol):
    """The levels that ``unified.func`` is made of. A framework with its own engine brings its own."""

    def batch(self, size: int, randomness: str) -> BatchLevel: ...
    def dual(self) -> DualLevel: ...
    def reverse(self) -> ReverseLevel: ...
    def suspended(self) -> AbstractContextManager[None]:
        """Within, no level is at work, for what must have plain natives."""

    def bare(self, tensor: Any) -> Any:
        """The value outside of every level: all examples of a batch, along leading dimensions, outermost first."""


class Engine(Protocol):
    """Reverse-mode differentiation of eager tensors.

    A framework that has its own (PyTorch) supplies one; for the others (``Backend.engine is None``) the front
    end's tape does it, out of the pullback ops that the backend implements.
    """

    front: FrontEnd | None
    """Set by the front end when the backend is loaded."""
    transforms: Transforms

    def set_grad_enabled(self, enabled: bool) -> None: ...
    def requires_grad(self, tensor: Any) -> bool: ...
    def require_grad(self, tensor: Any, flag: bool) -> None: ...
    def is_leaf(self, tensor: Any) -> bool: ...
    def origin(self, tensor: Any) -> str | None:
        """The name of what made it, or None for a leaf."""

    def read_grad(self, tensor: Any) -> Any: ...
    def write_grad(self, tensor: Any, grad: Any) -> None: ...
    def detach(self, tensor: Any) -> Native: ...
    def rebind(self, tensor: Any, result: Any) -> None: ...
    def replace(self, tensor: Any, native: Native) -> None: ...
    def replace_all(self, tensors: Sequence[Any], natives: Sequence[Native]) -> None:
        """The same for many Tensors and the first of ``natives``, which are fresh and lie in no graph."""

    def set_anomaly(self, enabled: bool) -> None:
        """Notes, or stops to note, which line of the user's records what."""

    def hooks(self, tensor: Any) -> dict[int, Callable[[Any], Any]]:
        """The hooks on a recorded Tensor's gradient by the id of their handle; writing to it registers."""

    def hook_ids(self, tensor: Any) -> tuple[int, ...]:
        """The handles of all hooks of a Tensor, of both kinds."""

    def accumulated_hooks(self, tensor: Any) -> dict[int, Callable[[Any], Any]]:
        """What runs on a leaf after its ``.grad`` has grown, likewise."""

    def custom(self, call: Any, inputs: list[Any]) -> list[Any]:
        """The outputs of a rule with a derivative of its own (``unified._custom.Applied``), of Tensors."""

    def checkpoint(self, run: Callable[[], list[Any]], again: Callable[..., list[Any]]) -> list[Any]:
        """The Tensors that ``run`` returns; what it records is dropped, and ``again`` runs for its derivative."""

    def retain_grad(self, tensor: Any) -> None: ...
    def retains_grad(self, tensor: Any) -> bool: ...
    def backward(
        self,
        roots: Sequence[Any],
        cotangents: Sequence[Any],
        retain_graph: bool,
        create_graph: bool,
        inputs: Sequence[Any] | None = None,
    ) -> None:
        """Adds to the gradients of the leaves, or of ``inputs``; None as a cotangent is 1, of a single element."""

    def gradients(
        self,
        roots: Sequence[Any],
        cotangents: Sequence[Any],
        inputs: Sequence[Any],
        retain_graph: bool,
        create_graph: bool,
    ) -> list[Any]: ...


@runtime_checkable
class Backend(Protocol):
    """One framework, as the front end sees it."""

    name: str
    framework: str
    engine: Engine | None
    compiler: Compiler
    natives: Natives

    def owns(self, kind: type) -> bool:
        """Whether tensors of this type are this backend's (asked once per type)."""

    def implement(self, op: OpSpec, kind: type | None) -> Callable[..., Any]:
        """The callable that runs ``op`` on natives of type ``kind`` (None for ops that create tensors).

        Called once per op and type; the answer is kept. This is where JAX wraps a native in ``jax.jit``.
        Raises UnsupportedOpError where there is neither a native nor a composite.
        """

    def shape(self, native: Native) -> tuple[int, ...]: ...
    def dtype(self, native: Native) -> DType: ...
    def device(self, native: Native) -> Place: ...
    def from_numpy(self, array: Any, dtype: DType, place: Place | None) -> Native:
        """A new tensor with a copy of ``array``; later writes to the array are not seen."""

    def adopt(self, native: Native) -> Native:
        """What a Tensor wraps of a tensor that the user made with the framework itself; no copy."""

    def to_numpy(self, native: Native) -> Any:
        """The values on the host, detached; may share memory, so the caller copies before it writes."""

    def to_dlpack(self, native: Native) -> Native:
        """What another framework's ``from_dlpack`` accepts: detached, dense, aliasing where possible."""

    def from_dlpack(self, exported: Any) -> Native: ...
    def devices(self) -> list[Place]: ...
    def default_device(self) -> Place: ...
    def versions(self) -> Mapping[str, str]: ...
    def compilers(self) -> Mapping[str, str]:
        """Compilers by name with 'ok' or what is missing, for ``unified doctor``."""


@runtime_checkable
class MemoryManager(Protocol):
    """A backend that tells what its framework's allocators hold."""

    def memory_stats(self, place: Place) -> Mapping[str, int]:
        """Bytes ``in use``, their ``peak``, and bytes ``reserved``; absent where the framework does not say."""

    def empty_cache(self) -> None: ...
    def set_memory_growth(self, enabled: bool, place: Place | None) -> None:
        """Raises DeviceError where it is too late, or where the device has no such choice."""


@runtime_checkable
class CheckpointReader(Protocol):
    """A backend whose framework has a checkpoint format of its own, which only it can read."""

    def read_checkpoint(self, path: str) -> Any:
        """What is at ``path``, as a nest with numpy arrays; raises what the framework raises."""

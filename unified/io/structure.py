"""Any nesting of plain Python data and tensors as JSON, and back. Nothing in it can name code to run.

Lists, strings, bools, None, ints and finite floats are JSON's own. All else is an object of one key, its tag:
``{"tensor": name}``, ``{"dict": {...}}`` with string keys, ``{"items": [[key, value], ...]}`` with others, and so on.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from unified._device import device
from unified._dtype import DType, dtype_named
from unified._size import Size
from unified._tensor import Tensor
from unified.errors import CheckpointError, OperandError
from unified.io.container import Array, storable

Value = Tensor | Array
Special = Callable[[Any, "Encoder", str], Any]
"""Encodes one more kind of object, or returns None."""

_MAPPINGS: dict[type, str] = {dict: "items", OrderedDict: "ordered", Counter: "counter"}
_SEQUENCES: dict[type, str] = {tuple: "tuple", Size: "size"}


class Encoder:
    """Takes objects apart into JSON and a table of Tensors and arrays by name; an object met twice has one name.

    Args:
        special: encodes kinds of objects beyond plain data.
    """

    def __init__(self, special: Special | None = None) -> None:
        self.values: dict[str, Value] = {}
        self._names: dict[int, str] = {}
        self._open: set[int] = set()
        self._special = special

    def encode(self, value: Any, path: str = "") -> Any:
        """JSON of ``value``; ``path`` says where it stands, and names its tensors.

        Raises:
            OperandError: it holds an object that cannot be saved, or itself.
        """
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if kind is complex:
            return {"complex": [self.encode(value.real), self.encode(value.imag)]}
        if isinstance(value, Tensor):
            return {"tensor": self._name(value, path)}
        if kind is np.ndarray or isinstance(value, np.generic):
            return self._encode_array(value, path)
        if kind is DType:
            return {"dtype": value.name}
        if kind is device:
            return {"device": str(value)}
        encoded = None if self._special is None else self._special(value, self, path)
        return self._encode_nested(value, path) if encoded is None else encoded

    def _encode_array(self, value: Any, path: str) -> Any:
        if not storable(value.dtype):
            raise OperandError(
                f"save: {_place(path)} is a numpy array of dtype {value.dtype}; numbers and bools only, "
                "text goes into lists of strings"
            )
        if isinstance(value, np.generic):
            return {"scalar": self._name(np.asarray(value), path)}
        return {"array": self._name(value, path)}

    def _encode_nested(self, value: Any, path: str) -> Any:
        if id(value) in self._open:
            raise OperandError(f"save: {_place(path)} contains itself")
        self._open.add(id(value))
        try:
            return self._encode_members(value, path)
        finally:
            self._open.discard(id(value))

    def _encode_members(self, value: Any, path: str) -> Any:
        kind = type(value)
        if kind is list:
            return [self.encode(member, _below(path, index)) for index, member in enumerate(value)]
        if kind in _SEQUENCES:
            return {
                _SEQUENCES[kind]: [self.encode(member, _below(path, index)) for index, member in enumerate(value)]
            }
        if kind is dict and all(type(key) is str for key in value):
            return {"dict": {key: self.encode(member, _below(path, key)) for key, member in value.items()}}
        if kind in _MAPPINGS:
            return {
                _MAPPINGS[kind]: [[self._key(key, path), self.encode(value[key], _below(path, key))] for key in value]
            }
        raise OperandError(
            f"save: {_place(path)} is a {kind.__module__}.{kind.__qualname__}, which is no plain data; save its "
            "state_dict(), or a whole Module with un.save_model"
        )

    def _key(self, key: Any, path: str) -> Any:
        if isinstance(key, (Tensor, np.ndarray, np.generic)):
            raise OperandError(
                f"save: {_place(path)} has a {type(key).__name__} as a key; only plain data can be one"
            )
        return self.encode(key, path)

    def _name(self, value: Value, path: str) -> str:
        known = self._names.get(id(value))
        if known is not None:
            return known
        base = name = path or "value"
        repeat = 1
        while name in self.values or name == "__metadata__":
            repeat += 1
            name = f"{base}#{repeat}"
        self.values[name] = value  # which also keeps it alive, and its id its own
        self._names[id(value)] = name
        return name


def _below(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _place(path: str) -> str:
    return f"the value at {path!r}" if path else "the value"


class Decoder:
    """Puts together what :class:`Encoder` took apart.

    Args:
        tensor: the Tensor of a name; asked once per name.
        array: the array of a name.
        special: decodes tags beyond those of plain data.
    """

    def __init__(
        self, tensor: Callable[[str], Tensor], array: Callable[[str], Array],
        special: Mapping[str, Callable[[Any, Decoder], Any]] | None = None,
    ) -> None:  # fmt: skip
        self._tensor, self._array = tensor, array
        self._special = special or {}
        self._made: dict[str, Value] = {}

    def decode(self, encoded: Any) -> Any:
        """The object.

        Raises:
            CheckpointError: the JSON has a tag that is not ours.
        """
        if isinstance(encoded, list):
            return [self.decode(member) for member in encoded]
        if not isinstance(encoded, dict):
            return encoded
        if len(encoded) != 1:
            raise CheckpointError(f"the structure has an object of {len(encoded)} keys where a tag is expected")
        ((tag, content),) = encoded.items()
        if tag in self._special:
            return self._special[tag](content, self)
        reader = _READERS.get(tag)
        if reader is None:
            raise CheckpointError(f"the structure has the tag {tag!r}, which this version does not know")
        return reader(self, content)

    def tensor(self, name: str) -> Value:
        """The one Tensor of that name."""
        if name not in self._made:
            self._made[name] = self._tensor(name)
        return self._made[name]

    def array(self, name: str) -> Value:
        """The one array of that name."""
        if name not in self._made:
            self._made[name] = self._array(name)
        return self._made[name]

    def pairs(self, content: Any) -> list[tuple[Any, Any]]:
        """Decoded keys with decoded values."""
        return [(self.decode(key), self.decode(value)) for key, value in content]


_READERS: dict[str, Callable[[Decoder, Any], Any]] = {
    "tensor": Decoder.tensor,
    "array": Decoder.array,
    "scalar": lambda decoder, name: decoder.array(name)[()],
    "dict": lambda decoder, content: {key: decoder.decode(value) for key, value in content.items()},
    "items": lambda decoder, content: dict(decoder.pairs(content)),
    "ordered": lambda decoder, content: OrderedDict(decoder.pairs(content)),
    "counter": lambda decoder, content: Counter(dict(decoder.pairs(content))),
    "tuple": lambda decoder, content: tuple(decoder.decode(content)),
    "size": lambda decoder, content: Size(decoder.decode(content)),
    "float": lambda decoder, text: float(text),
    "complex": lambda decoder, parts: complex(*decoder.decode(parts)),
    "dtype": lambda decoder, name: dtype_named(name),
    "device": lambda decoder, name: device(name),
}

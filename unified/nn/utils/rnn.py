"""Batches of sequences of unequal lengths: padded to one length, or packed without padding."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from unified._dispatch import composite, tracing
from unified._dtype import DType, float16, float32, float64, int8, int16, int32, int64, uint8
from unified._tensor import Tensor
from unified.errors import ArgumentError, OperandError, ShapeError
from unified.ops.creation import arange
from unified.ops.elementwise import Scalar, where
from unified.ops.reduction import argsort, cumsum
from unified.ops.shape import pad, stack

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence",
    "pad_sequence", "unpack_sequence", "unpad_sequence",
]  # fmt: skip


class _Fields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Fields):
    """Sequences step by step without padding: what :func:`pack_padded_sequence` and :func:`pack_sequence` make.

    Attributes:
        data: the elements of all sequences, ``(sum of lengths, *)``: first all first ones, then all second ones.
        batch_sizes: int ``(length of the longest,)``, how many sequences have each step.
        sorted_indices: which sequences the sorted ones were; None if they came sorted.
        unsorted_indices: the inverse permutation.
    """

    _batch: builtins.int | None = None

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Self:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not isinstance(data, (list, tuple)) or len(data) != 2:
                raise OperandError("PackedSequence: without batch_sizes, data must be a pair (data, batch_sizes)")
            data, batch_sizes = data
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    @property
    def batch(self) -> builtins.int | None:
        """How many sequences there are; None where a compiled function got that as a value.

        Packed within the function, or with ``enforce_sorted=False``, it is always known.
        """
        if self.sorted_indices is not None:
            return self.sorted_indices.shape[0]
        if self._batch is None and tracing() is None:
            self._batch = builtins.int(self.batch_sizes[0].item())
        return self._batch

    def with_data(self, data: Tensor) -> PackedSequence:
        """Other elements of the same sequences."""
        packed = PackedSequence(data, self.batch_sizes, self.sorted_indices, self.unsorted_indices)
        packed._batch = self._batch
        return packed

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """With the data on another device or backend, or of another dtype, as :meth:`Tensor.to`."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        place: dict[str, Any] = {"device": data.device, "backend": data.backend}
        order, back = (
            None if each is None else each.to(**place) for each in (self.sorted_indices, self.unsorted_indices)
        )
        packed = PackedSequence(data, self.batch_sizes.to(**place), order, back)
        packed._batch = self._batch
        return packed

    def cpu(self) -> PackedSequence:
        """With the data on the host."""
        return self.to("cpu")

    def cuda(self, index: builtins.int = 0) -> PackedSequence:
        """With the data on a GPU."""
        return self.to(f"gpu:{index}")

    def _as(self, dtype: DType) -> PackedSequence:
        return self.to(dtype=dtype)

    def double(self) -> PackedSequence:
        """With float64 data."""
        return self._as(float64)

    def float(self) -> PackedSequence:
        """With float32 data."""
        return self._as(float32)

    def half(self) -> PackedSequence:
        """With float16 data."""
        return self._as(float16)

    def long(self) -> PackedSequence:
        """With int64 data."""
        return self._as(int64)

    def int(self) -> PackedSequence:
        """With int32 data."""
        return self._as(int32)

    def short(self) -> PackedSequence:
        """With int16 data."""
        return self._as(int16)

    def char(self) -> PackedSequence:
        """With int8 data."""
        return self._as(int8)

    def byte(self) -> PackedSequence:
        """With uint8 data."""
        return self._as(uint8)


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes ``permutation (N,)``; None of None."""
    if permutation is None:
        return None
    inverse: Tensor = argsort(permutation).to(permutation.dtype)
    return inverse


def _lengths(name: str, lengths: Tensor | Sequence[int]) -> list[int]:
    values = lengths.tolist() if isinstance(lengths, Tensor) else [int(length) for length in lengths]
    if not isinstance(values, list) or any(isinstance(value, list) for value in values):
        raise ShapeError(f"{name}: lengths must have one dimension")
    return [int(value) for value in values]


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Packs sequences that were padded to one length.

    Args:
        input: ``(T, N, *)``, or ``(N, T, *)`` with ``batch_first``.
        lengths: of the N sequences; in a compiled function they must be Python numbers, as they decide shapes.
        enforce_sorted: refuse sequences that do not come in the order of falling lengths; else they are sorted here.

    Raises:
        ShapeError: there are not N lengths, or one exceeds T.
        ArgumentError: a length is not positive, or they are not sorted though they must be.
    """
    if input.ndim < 2:
        raise ShapeError(f"pack_padded_sequence: input {tuple(input.shape)} must have at least 2 dimensions")
    steps, batch = (input.shape[1], input.shape[0]) if batch_first else (input.shape[0], input.shape[1])
    sizes = _lengths("pack_padded_sequence", lengths)
    if len(sizes) != batch:
        raise ShapeError(
            f"pack_padded_sequence: Expected `len(lengths)` to be equal to batch_size, but got {len(sizes)} "
            f"(batch_size={batch})"
        )
    if not sizes or min(sizes) <= 0:
        raise ArgumentError(
            "pack_padded_sequence: Length of all samples has to be greater than 0, but found an element in 'lengths' "
            "that is <= 0"
        )
    if max(sizes) > steps:
        raise ShapeError(f"pack_padded_sequence: length {max(sizes)} exceeds the {steps} steps of input")
    order = sorted(range(batch), key=lambda place: -sizes[place])
    if enforce_sorted and order != list(range(batch)):
        raise ArgumentError(
            "pack_padded_sequence: `lengths` array must be sorted in decreasing order when `enforce_sorted` is True. "
            "You can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this "
            "requirement"
        )
    falling = np.array([sizes[place] for place in order])
    batch_sizes = [int((falling > step).sum()) for step in range(falling[0])]
    of_batch, of_step = (steps, 1) if batch_first else (1, batch)
    rows = [
        step * of_step + order[place] * of_batch for step, size in enumerate(batch_sizes) for place in range(size)
    ]

    def indices(values: list[int]) -> Tensor:
        made: Tensor = input.new_tensor(values, dtype=int32)
        return made

    data = input.flatten(0, 1).index_select(0, indices(rows))
    if enforce_sorted:
        packed = PackedSequence(data, indices(batch_sizes))
    else:
        back = [int(place) for place in np.argsort(order)]
        packed = PackedSequence(data, indices(batch_sizes), indices(order), indices(back))
    packed._batch = batch
    return packed


@composite()
def padded_rows(
    data: Tensor, batch_sizes: Tensor, batch: int, total_length: int, padding_value: Scalar
) -> tuple[Tensor, ...]:
    """Packed rows ``(sum of lengths, *)`` as ``(total_length, batch, *)``, and the lengths."""
    starts = cumsum(batch_sizes, 0).to(int32) - batch_sizes
    column = arange(batch, dtype=int32, device=data.device)
    alive = column < batch_sizes.unsqueeze(-1)
    rows = where(alive, starts.unsqueeze(-1) + column, 0).flatten()
    shape = tuple(data.shape[1:])
    padded = data.index_select(0, rows).reshape((*alive.shape, *shape))
    padded = padded.masked_fill(~alive.reshape((*alive.shape, *[1] * len(shape))), padding_value)
    longer = total_length - alive.shape[0]
    if longer:
        padded = pad(padded, (*[0] * (2 * padded.ndim - 1), longer), value=padding_value)
    return padded, alive.to(int32).sum(0).to(int32)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Undoes :func:`pack_padded_sequence`.

    Args:
        sequence: N sequences, the longest of T steps.
        padding_value: what stands behind the end of a shorter one.
        total_length: pad to so many steps, not T.

    Returns:
        ``(T, N, *)``, or ``(N, T, *)`` with ``batch_first``, and the lengths ``(N,)``, in the order before packing.

    Raises:
        ArgumentError: ``total_length`` is less than T.
        TracedValueError: a compiled function got N as a value; see :attr:`PackedSequence.batch`.
    """
    longest = sequence.batch_sizes.shape[0]
    if total_length is not None and total_length < longest:
        raise ArgumentError(
            "Expected total_length to be at least the length of the longest sequence in input, but got "
            f"total_length={total_length} and max sequence length being {longest}"
        )
    batch = sequence.batch
    if batch is None:
        batch = int(sequence.batch_sizes[0].item())
    padded, lengths = padded_rows(
        sequence.data, sequence.batch_sizes, batch, longest if total_length is None else total_length, padding_value
    )
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(1, sequence.unsorted_indices)
        lengths = lengths.index_select(0, sequence.unsorted_indices)
    return padded.transpose(0, 1) if batch_first else padded, lengths


def pad_sequence(
    sequences: Tensor | Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Stacks sequences, each ``(length, *)``, padded to the longest of T steps.

    Args:
        padding_side: ``"right"`` or ``"left"``.

    Returns:
        ``(T, N, *)``, or ``(N, T, *)`` with ``batch_first``.

    Raises:
        OperandError: ``sequences`` is no sequence of Tensors.
        ArgumentError: there is none, or the side is unknown.
        ShapeError: they differ in more than their lengths.
    """
    if isinstance(sequences, Tensor):
        sequences = sequences.unbind(0)
    if not isinstance(sequences, (list, tuple)) or not all(isinstance(each, Tensor) for each in sequences):
        raise OperandError("pad_sequence: Expected iterable for input sequences, a list of Tensors")
    if padding_side not in ("left", "right"):
        raise ArgumentError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    if not sequences:
        raise ArgumentError("pad_sequence: received an empty list of sequences")
    shapes = [tuple(each.shape) for each in sequences]
    if any(not shape or shape[1:] != shapes[0][1:] for shape in shapes):
        raise ShapeError(
            f"pad_sequence: sequences must differ in their first dimension only, but have shapes {shapes}"
        )
    longest = max(shape[0] for shape in shapes)

    def longer(each: Tensor) -> Tensor:
        missing = longest - each.shape[0]
        if not missing:
            return each
        ends = (0, missing) if padding_side == "right" else (missing, 0)
        padded: Tensor = pad(each, (*[0] * (2 * each.ndim - 2), *ends), value=padding_value)
        return padded

    return stack([longer(each) for each in sequences], 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """Undoes :func:`pad_sequence`: the sequences of ``(T, N, *)``, or ``(N, T, *)`` with ``batch_first``."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[:length] for row, length in zip(rows.unbind(0), _lengths("unpad_sequence", lengths), strict=True)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Packs sequences, each ``(length, *)``; as :func:`pack_padded_sequence` of :func:`pad_sequence`."""
    lengths = [sequence.shape[0] for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences, each ``(length, *)``, in the order before packing."""
    return unpad_sequence(*pad_packed_sequence(packed_sequences, batch_first=True), batch_first=True)

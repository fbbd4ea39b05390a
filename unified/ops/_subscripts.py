"""Einstein's notation as ``torch.einsum`` reads it, made explicit: letters for ``...``, the result spelled out."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from unified.errors import ArgumentError, ShapeError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""A sublist's integer stands for the letter at its place, and an implicit result has them in this order."""


class Contraction(NamedTuple):
    """Letters of each operand and of the result, without ``...``."""

    terms: tuple[str, ...]
    result: str
    lengths: dict[str, int]


def of_sublist(sublist: Sequence[object]) -> str:
    """``[0, 1, ...]`` as letters. Example: ``of_sublist([0, Ellipsis, 27]) -> "A...b"``.

    Raises:
        ArgumentError: an entry is neither an int in [0, 52) nor an Ellipsis.
    """
    letters = []
    for entry in sublist:
        if entry is Ellipsis:
            letters.append("...")
        elif isinstance(entry, int) and 0 <= entry < len(LETTERS):
            letters.append(LETTERS[entry])
        else:
            raise ArgumentError(f"einsum: a sublist holds ints in [0, {len(LETTERS)}) and Ellipsis, not {entry!r}")
    return "".join(letters)


@functools.lru_cache(1024)
def explicit(equation: str, shapes: tuple[tuple[int, ...], ...]) -> Contraction:
    """The equation over operands of these shapes, letter by letter.

    Raises:
        ArgumentError: the equation cannot be read, or does not name the operands' dimensions.
        ShapeError: a letter has two lengths, neither of them 1.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise ArgumentError(f"einsum: the equation {equation!r} names {len(terms)} operands, but got {len(shapes)}")
    for term in (*terms, right):
        if set(term.replace("...", "", 1)) - set(LETTERS):
            raise ArgumentError(f"einsum: {term!r} in {equation!r} holds more than letters and one '...'")
    hidden = max(_hidden(equation, i, term, shapes[i]) for i, term in enumerate(terms))
    dots = _unused(equation, hidden)
    full = tuple(
        term.replace("...", dots[hidden - _hidden(equation, i, term, shapes[i]) :]) for i, term in enumerate(terms)
    )
    lengths = _lengths(equation, full, shapes)
    if arrow:
        result = right.replace("...", dots)
    else:
        named = "".join(term.replace("...", "") for term in terms)
        result = dots + "".join(letter for letter in LETTERS if named.count(letter) == 1)
    _result_is_named(equation, result, lengths)
    return Contraction(full, result, lengths)


def _hidden(equation: str, index: int, term: str, shape: tuple[int, ...]) -> int:
    """How many dimensions of an operand ``...`` stands for."""
    named = len(term.replace("...", ""))
    if named > len(shape) or ("..." not in term and named != len(shape)):
        raise ShapeError(f"einsum: {term!r} in {equation!r} does not fit operand {index} of shape {shape}")
    return len(shape) - named


def _unused(equation: str, count: int) -> str:
    free = [letter for letter in LETTERS if letter not in equation]
    if count > len(free):
        raise ArgumentError(f"einsum: {equation!r} and its '...' name more than {len(LETTERS)} dimensions")
    return "".join(free[:count])


def _lengths(equation: str, terms: tuple[str, ...], shapes: tuple[tuple[int, ...], ...]) -> dict[str, int]:
    lengths: dict[str, int] = {}
    for index, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        for letter, length in zip(term, shape, strict=True):
            held = lengths.setdefault(letter, length)
            if held == 1:
                lengths[letter] = length
            elif length not in (1, held):
                raise ShapeError(
                    f"einsum: {letter!r} in {equation!r} is {held} in one operand and {length} in operand {index}"
                )
    return lengths


def _result_is_named(equation: str, result: str, lengths: dict[str, int]) -> None:
    unknown = set(result) - set(lengths)
    if unknown:
        raise ArgumentError(f"einsum: {equation!r} has {sorted(unknown)} in its result, but in no operand")
    if len(set(result)) < len(result):
        raise ArgumentError(f"einsum: {equation!r} names a dimension of its result twice")

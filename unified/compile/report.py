"""What ``explain()`` says of a compiled function, in the same words on every backend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def words(signatures: Iterable[tuple[Any, ...]]) -> list[str]:
    """Shapes and dtypes: ``float32 (2, 3)``."""
    named = ((str(getattr(s[1], "name", s[1])).removeprefix("torch."), tuple(s[0])) for s in signatures)
    return [f"{dtype} {shape}" for dtype, shape in named]


class Report(str):
    """The report as text, which the same facts are attributes of.

    Attributes:
        name: the function's.
        programs: what is known of each compiled program, first one first: ``backend``, ``compiler``, ``seconds`` to
            trace and compile it, ``arguments`` (dtype and shape of each Tensor), ``captured`` Tensors, how many of
            them are ``changed``, ``effects`` of ``un.debug``, whether it is ``differentiable``; and ``flops`` and
            ``bytes accessed`` of one call where the compiler knows.
        reasons: why each trace happened; the last one is the latest.
    """

    name: str
    programs: list[dict[str, Any]]
    reasons: list[str]

    __slots__ = ("name", "programs", "reasons")

    def __new__(cls, name: str, programs: list[dict[str, Any]], reasons: Sequence[str]) -> Report:
        """Made by ``explain()``."""
        lines = [f"{name}: {len(programs)} program(s)"]
        for facts, reason in zip(programs, reasons, strict=False):
            lines.append(f"  {_line(facts)}; traced because: {reason}")
        if len(reasons) > 1:
            lines.append(f"  last traced because: {reasons[-1]}")
        report = super().__new__(cls, "\n".join(lines))
        report.name, report.programs, report.reasons = name, programs, list(reasons)
        return report


def _line(facts: dict[str, Any]) -> str:
    parts = [f"{facts['backend']}, {facts['compiler']}: {facts['seconds']:.2f} s to compile"]
    parts.append(f"arguments {', '.join(facts['arguments']) or 'none'}")
    parts.append(f"{facts['captured']} Tensors captured, {facts['changed']} of them changed")
    if facts["effects"]:
        parts.append(f"{facts['effects']} effects of un.debug")
    if facts.get("flops") is not None:
        parts.append(f"{_scaled(facts['flops'])}FLOP")
    if facts.get("bytes accessed") is not None:
        parts.append(f"{_scaled(facts['bytes accessed'])}B accessed")
    return "; ".join(parts)


def _scaled(number: float) -> str:
    for unit in ("", "k", "M", "G"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} T"

"""A length that is not known while ``un.compile`` traces: what ``x.shape`` holds for a dimension named dynamic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unified.errors import DynamicLengthError

if TYPE_CHECKING:
    from unified._tensor import Tensor


class Dynamic:
    """One named length during a trace: between ``low`` and ``high``, and as a 0-d int32 Tensor."""

    __slots__ = ("high", "low", "name", "tensor")

    def __init__(self, name: str, low: int, high: int, tensor: Tensor) -> None:
        self.name = name
        self.low = low
        self.high = high
        self.tensor = tensor


class Length:
    """``factor * (name + offset)``. Comparisons are answered where the bounds decide them, and refused elsewhere."""

    __slots__ = ("dynamic", "factor", "offset")

    def __init__(self, dynamic: Dynamic, offset: int = 0, factor: int = 1) -> None:
        self.dynamic = dynamic
        self.offset = offset
        self.factor = factor

    @property
    def low(self) -> int:
        """The least that it can be."""
        return self.factor * (self.dynamic.low + self.offset)

    @property
    def high(self) -> int:
        """The most that it can be: how long the padded dimension is."""
        return self.factor * (self.dynamic.high + self.offset)

    def value(self) -> Tensor:
        """As a 0-d int32 Tensor."""
        value: Tensor = self.dynamic.tensor
        if self.offset:
            value = value + self.offset
        return value if self.factor == 1 else value * self.factor

    def __repr__(self) -> str:
        inner = self.dynamic.name if not self.offset else f"({self.dynamic.name} {self.offset:+d})"
        return inner if self.factor == 1 else f"{self.factor} * {inner}"

    def _refuse(self, what: str) -> DynamicLengthError:
        return DynamicLengthError(
            f"{what} needs the value of the dynamic length {self!r}, which is {self.low} to {self.high} in this "
            "program; use it as a number in arithmetic with Tensors or as a size, end a bucket where Python must "
            "decide (buckets=), or leave the dimension out of dynamic="
        )

    def _same(self, other: Length) -> bool:
        return self.dynamic is other.dynamic and self.factor == other.factor

    # ---- questions -----------------------------------------------------------------------------------------

    def _difference(self, other: Any, what: str) -> tuple[int, int]:
        """Bounds of ``self - other``."""
        if isinstance(other, Length):
            if self._same(other):
                exact = self.factor * (self.offset - other.offset)
                return exact, exact
            return self.low - other.high, self.high - other.low
        if not isinstance(other, (int, float)):
            raise self._refuse(what)
        return self.low - other, self.high - other  # type: ignore[return-value]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Length, int, float)):
            return False
        low, high = self._difference(other, f"{self!r} == {other!r}")
        if low == high == 0:
            return True
        if low > 0 or high < 0:
            return False
        raise self._refuse(f"{self!r} == {other!r}")

    def __hash__(self) -> int:
        return hash((id(self.dynamic), self.offset, self.factor))

    def __lt__(self, other: Any) -> bool:
        low, high = self._difference(other, f"{self!r} < {other!r}")
        if high < 0 or low >= 0:
            return high < 0
        raise self._refuse(f"{self!r} < {other!r}")

    def __gt__(self, other: Any) -> bool:
        low, high = self._difference(other, f"{self!r} > {other!r}")
        if low > 0 or high <= 0:
            return low > 0
        raise self._refuse(f"{self!r} > {other!r}")

    def __le__(self, other: Any) -> bool:
        return not self > other

    def __ge__(self, other: Any) -> bool:
        return not self < other

    def __bool__(self) -> bool:
        return self > 0

    def __index__(self) -> int:
        raise self._refuse("Python (a range, a loop, an index, math)")

    def __float__(self) -> float:
        raise self._refuse("float(length)")

    # ---- arithmetic ------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Any:
        if other.__class__ is int and other % self.factor == 0:
            return Length(self.dynamic, self.offset + other // self.factor, self.factor)
        return self.value() + other if isinstance(other, (int, float)) else NotImplemented

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        if isinstance(other, Length) and self._same(other):
            return self.factor * (self.offset - other.offset)
        return self + -other if isinstance(other, (int, float)) else NotImplemented

    def __rsub__(self, other: Any) -> Any:
        return other - self.value() if isinstance(other, (int, float)) else NotImplemented

    def __mul__(self, other: Any) -> Any:
        if other.__class__ is int and other > 0:
            return Length(self.dynamic, self.offset, self.factor * other)
        if isinstance(other, Length):
            raise self._refuse(f"{self!r} * {other!r}, a product of dynamic lengths as one size,")
        return self.value() * other if isinstance(other, (int, float)) else NotImplemented

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        if isinstance(other, Length) and self.dynamic is other.dynamic and self.offset == other.offset:
            if self.factor % other.factor == 0:
                return self.factor // other.factor
        elif other.__class__ is int and other > 0 and self.factor % other == 0:
            return Length(self.dynamic, self.offset, self.factor // other)
        raise self._refuse(f"{self!r} // {other!r}")

    def __mod__(self, other: Any) -> int:
        if other.__class__ is int and other > 0 and self.factor % other == 0:
            return 0
        raise self._refuse(f"{self!r} % {other!r}")

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, Length):
            return self.value() / other.value()
        return self.value() / other if isinstance(other, (int, float)) else NotImplemented

    def __rtruediv__(self, other: Any) -> Any:
        return other / self.value() if isinstance(other, (int, float)) else NotImplemented

    def __pow__(self, other: Any) -> Any:
        if isinstance(other, float):
            return self.value() ** other
        raise self._refuse(f"{self!r} ** {other!r}")

"""Expected failures of the special family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = [
    Expected(("item",), "a Tensor has no value while a program is traced", checks=("compiled",)),
]

"""Expected failures of the products family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = []

"""Expected failures of the arithmetic family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = []

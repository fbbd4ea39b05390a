"""Expected failures of the shape family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = []

"""Expected failures of the spatial family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = []

"""Expected failures of the reduction family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = []

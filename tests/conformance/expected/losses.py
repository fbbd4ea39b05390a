"""Expected failures of the losses family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = []

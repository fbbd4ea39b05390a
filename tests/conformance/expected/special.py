"""Expected failures of the special family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = []

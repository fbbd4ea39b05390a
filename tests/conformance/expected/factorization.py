"""Expected failures of the factorization family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = []

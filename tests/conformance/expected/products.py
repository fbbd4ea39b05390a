"""Expected failures of the products family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = [
    Expected(
        ("linalg.norm",),
        "PyTorch's second derivative of a 2-norm that is 0 is NaN; ours is that of the subgradient 0, which is 0",
        backends=("jax", "tensorflow"),
        checks=("gradgrad",),
        always=False,
    ),
]

"""Expected failures of the spatial family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = [
    Expected(
        ("nn.functional.max_unpool*",),
        "windows overlap and several elements are written to one place; which of their tangents stays is left open",
        backends=("jax", "tensorflow"),
        checks=("jvp",),
        always=False,
    ),
]

"""Expected failures of the factorization family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = [
    Expected(
        ("matrix_exp",),
        "PyTorch's bfloat16 kernel overflows to NaN where ours, which computes in float32, has a number",
        backends=("jax", "tensorflow"),
        checks=("values",),
        dtypes=("bfloat16",),
        always=False,
    ),
    Expected(
        ("linalg.lstsq",),
        "PyTorch's kernel decides by the rank whether there are residuals, so that its tracer has no shape for them",
        backends=("torch",),
        checks=("compiled",),
    ),
]

"""Expected failures of the products family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = [
    Expected(
        ("addbmm", "linalg.vecdot"),
        "PyTorch rounds each partial sum to 8 bits (and is off by up to 5 %), where ours are summed in float32",
        backends=("jax", "tensorflow"),
        checks=("values",),
        dtypes=("bfloat16",),
    ),
    Expected(
        ("linalg.norm",),
        "PyTorch's second derivative of a 2-norm that is 0 is NaN; ours is that of the subgradient 0, which is 0",
        backends=("jax", "tensorflow"),
        checks=("gradgrad",),
    ),
]

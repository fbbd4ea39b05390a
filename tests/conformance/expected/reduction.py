"""Expected failures of the reduction family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = [
    Expected(
        ("masked.logaddexp",),
        "PyTorch's second derivative is NaN where both elements are left out; ours is 0",
        backends=("tensorflow",),
        checks=("gradgrad",),
        always=False,
    ),
    Expected(
        ("native_group_norm",),
        "PyTorch's own backward ignores the cotangent of the mean where there are no further dimensions",
        backends=("torch",),
        checks=("gradcheck", "gradgradcheck"),
        always=False,
    ),
    Expected(
        ("unique", "unique_consecutive", "bincount"),
        "the result's shape depends on values, which a program does not have while it is traced",
        checks=("compiled",),
    ),
]

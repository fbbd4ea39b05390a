"""Expected failures of the reduction family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = [
    Expected(
        ("amax", "amin", "aminmax"),
        "a tensor of 65 dimensions, which numpy, through which we make it, does not hold",
        checks=("errors",),
    ),
    Expected(
        ("gradient",),
        "coordinates on PyTorch's meta device, which have no values to make a Tensor of",
        checks=("errors",),
    ),
    Expected(
        ("kthvalue",),
        "the index among equal elements, which PyTorch leaves open; its selection moves them about",
        backends=("jax", "tensorflow"),
        checks=("values",),
        dtypes=("int32",),
    ),
    Expected(
        ("mode",),
        "the index among equal elements, which PyTorch leaves open; its sort moves them about",
        backends=("jax", "tensorflow"),
        checks=("values",),
        dtypes=("int32", "bool", "bfloat16"),
    ),
    Expected(
        ("masked.logaddexp",),
        "PyTorch's second derivative is NaN where both elements are left out; ours is 0",
        backends=("tensorflow",),
        checks=("gradgrad",),
    ),
    Expected(
        ("unique", "unique_consecutive", "bincount"),
        "the result's shape depends on values, which a program does not have while it is traced",
        checks=("compiled",),
    ),
]

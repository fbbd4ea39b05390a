"""Expected failures of the arithmetic family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = [
    Expected(("chalf",), "no complex32: neither JAX nor TensorFlow has complex numbers of two float16"),
    Expected(
        ("__radd__", "__rdiv__", "__rmul__", "__rand__", "__ror__", "__rxor__", "__rmod__", "__rpow__", "__rsub__"),
        "the database calls Tensor's method on a Python number, where Python finds the number's own",
        checks=("errors",),
    ),
    Expected(
        ("bfloat16", "half", "float", "cfloat"),
        "rounding to fewer bits is a staircase to steps of 1e-6; PyTorch's gradcheck fails it too",
        checks=("gradcheck", "gradgradcheck"),
    ),
    Expected(
        ("clamp_max", "clamp_min"),
        "PyTorch takes the number for a bound that the database lists as an error",
        checks=("errors",),
    ),
    Expected(
        ("allclose", "equal"),
        "the result is a Python bool, and a program under compilation has no values yet",
        checks=("compiled",),
    ),
]

"""Expected failures of the losses family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = [
    Expected(
        ("nn.functional.ctc_loss",),
        "PyTorch itself has no second derivative of ctc_loss to compare with",
        checks=("gradgrad",),
    ),
    Expected(
        ("native_layer_norm",),
        "PyTorch's own second derivative of native_layer_norm raises where there is no weight",
        checks=("gradgrad",),
    ),
    Expected(
        ("nn.functional.multi_head_attention_forward",),
        "PyTorch adds mask and product in one kernel and rounds once to the 8 bits of bfloat16, XLA rounds each step",
        backends=("jax", "tensorflow"),
        checks=("values",),
        dtypes=("bfloat16",),
    ),
]

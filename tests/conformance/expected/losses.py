"""Expected failures of the losses family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = [
    Expected(
        ("nn.functional.multi_head_attention_forward",),
        "PyTorch adds mask and product in one kernel and rounds once to the 8 bits of bfloat16, XLA rounds each step",
        backends=("jax", "tensorflow"),
        checks=("values",),
        dtypes=("bfloat16",),
        always=False,
    ),
    Expected(
        ("nn.functional.ctc_loss",),
        "PyTorch's kernel sizes its workspace by the lengths' values, which its tracer does not have",
        backends=("torch",),
        checks=("compiled",),
    ),
    Expected(
        ("nn.functional.one_hot",),
        "without num_classes the result's shape depends on values, which a static program cannot have",
        checks=("compiled",),
        always=False,
    ),
]

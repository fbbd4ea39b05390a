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
    Expected(
        (
            "cdist",
            "nn.functional.pdist",
            "ormqr",
            "index_reduce",
            "nn.functional.multi*_margin_loss",
            "nn.functional.embedding_bag",
            "nn.functional.grid_sample",
            "grid_sampler_*d",
            "nn.functional.ctc_loss",
        ),
        "PyTorch has no forward derivative of its kernel; there are vjp and jacrev",
        backends=("torch",),
        checks=("jvp",),
        always=False,
    ),
    Expected(
        ("scatter_reduce",),
        "PyTorch's forward derivative of a product is 0, so it is refused; there are vjp and jacrev",
        backends=("torch",),
        checks=("jvp",),
        always=False,
    ),
]

"""Expected failures of the shape family."""

from tests.conformance.expected.entry import Expected

EXPECTED: list[Expected] = [
    Expected(
        ("nonzero", "argwhere", "masked_select"),
        "the shape of the result depends on values, which a static program cannot have; nonzero_static is for it",
        checks=("compiled",),
    ),
    Expected(
        (
            "argwhere",
            "nonzero",
            "masked_select",
            "unique",
            "unique_consecutive",
            "bincount",
            "tensor_split",
            "nn.functional.one_hot",
        ),
        "shapes of the results depend on values, which differ between the examples of a batch; torch.func refuses "
        "six of them, and computes argwhere and bincount example by example if the shapes agree",
        checks=("vmap",),
    ),
    Expected(
        ("cov", "narrow", "repeat_interleave", "index_put"),
        "weights that are checked, or a start, counts or a mask that decide shapes, differ between the examples of a "
        "batch; torch.func refuses too",
        checks=("vmap",),
        always=False,
    ),
    Expected(
        ("bernoulli",),
        "how much is drawn depends on the probabilities, so that examples cannot share their draws",
        checks=("vmap",),
        always=False,
    ),
    Expected(
        ("tensor_split",),
        "positions given as a tensor decide the shapes of the results, which a static program cannot have",
        checks=("compiled",),
        always=False,
    ),
    Expected(
        ("broadcast_shapes",),
        "neither takes nor returns a tensor: there is nothing to compile",
        checks=("compiled",),
    ),
]

"""What the contract's rows are known not to do, published. A row here must fail; one that passes fails the suite."""

from __future__ import annotations

from typing import NamedTuple

PENDING: frozenset[str] = frozenset(
    {
        "Function",
        "GradientTape",
        "always_call",
        "backward_inputs",
        "checkpoint",
        "detect_anomaly",
        "func",
        "functional_call",
        "global_hooks",
        "inference_mode",
        "is_grads_batched",
        "mode_decorators",
        "module_backward_hooks",
        "post_accumulate_hook",
        "register_hook",
        "retain_grad",
        "vmap",
    }
)
"""Features that are not in this tree yet; every row that needs one is expected to fail everywhere."""

EVERYWHERE = ("torch", "jax", "tensorflow")
BOTH = ("eager", "compiled")


class Known(NamedTuple):
    """Rows that fail on these backends in these modes, and why."""

    reason: str
    backends: tuple[str, ...]
    modes: tuple[str, ...]
    rows: tuple[str, ...]


_ON_THE_TAPE = ("jax", "tensorflow")

KNOWN: tuple[Known, ...] = (
    Known(
        "the contradiction is not looked for: zeros are returned",
        EVERYWHERE, BOTH,
        ("materialize_grads_contradicts_allow_unused_false",),
    ),
    Known(
        "the message names the op that was met first, which PyTorch's engine does not tell",
        _ON_THE_TAPE, ("eager",),
        (
            "a_freed_graph_is_refused", "the_graph_of_a_function_is_freed_too", "create_graph_retains",
            "a_shared_subgraph_is_freed_by_the_first_root", "a_failed_backward_leaves_gradients_alone",
        ),
    ),
    Known(
        "a node of the tape keeps its operands whatever its op, and releases them",
        _ON_THE_TAPE, BOTH,
        ("a_graph_that_saved_nothing_may_be_walked_again",),
    ),
    Known(
        "a pullback is an op of all that its primal took, so that what it does not depend on has zeros and not None",
        _ON_THE_TAPE, BOTH,
        ("a_second_order_of_a_linear_function_is_unused",),
    ),
    Known(
        "a complex root of one element starts from one",
        EVERYWHERE, BOTH,
        ("a_complex_root_has_no_implicit_gradient",),
    ),
    Known(
        "the dtype of a cotangent is not looked at, and the framework refuses it in its words",
        _ON_THE_TAPE, BOTH,
        ("a_gradient_of_another_kind",),
    ),
    Known(
        "the error is Python's own: a number has no shape, a str no requires_grad",
        EVERYWHERE, BOTH,
        ("a_gradient_that_is_no_tensor", "grad_wants_tensors"),
    ),
    Known("no roots at all is an error", EVERYWHERE, BOTH, ("roots_must_be_there",)),
    Known(
        "a cotangent that the function closes over is not touched: it is a constant of the program",
        EVERYWHERE, ("compiled",),
        ("a_cotangent_may_change_between_calls",),
    ),
    Known(
        "a cotangent that the function closes over is not touched, and make_fx refuses a Tensor that is not fake",
        ("torch",), ("compiled",),
        (
            "backward_takes_a_cotangent", "grad_sums_over_outputs", "grad_takes_a_cotangent_for_one_output",
            "backward_of_roots_with_cotangents", "a_hessian_vector_product_by_cotangent",
            "forward_mode_by_two_reverses", "a_complex_cotangent", "a_refused_backward_can_be_repaired",
        ),
    ),
    Known(
        "a .grad that nobody reads counts as one that the trace left: its value at the trace is written back",
        EVERYWHERE, ("compiled",),
        ("the_gradient_of_a_frozen_leaf_is_left_alone",),
    ),
    Known(
        "a .grad that nobody reads counts as one that the trace left, and make_fx refuses a Tensor that is not fake",
        ("torch",), ("compiled",),
        ("a_frozen_leaf_gets_no_gradient",),
    ),
    Known(
        "aot_autograd has no double backward of a compiled forward",
        ("torch",), ("compiled",),
        ("second_order_through_a_function",),
    ),
)  # fmt: skip

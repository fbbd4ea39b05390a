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
    """A row that fails on these backends in these modes, and why."""

    row: str
    backends: tuple[str, ...]
    modes: tuple[str, ...]
    reason: str


_ON_THE_TAPE = ("jax", "tensorflow")

KNOWN: tuple[Known, ...] = (
    Known(
        "materialize_grads_contradicts_allow_unused_false",
        EVERYWHERE,
        BOTH,
        "the contradiction is not looked for: zeros are returned",
    ),
    Known(
        "a_freed_graph_is_refused",
        _ON_THE_TAPE,
        ("eager",),
        "the message names the op that was met first, which PyTorch's engine does not tell",
    ),
    Known(
        "the_graph_of_a_function_is_freed_too",
        _ON_THE_TAPE,
        ("eager",),
        "the message names the op that was met first, which PyTorch's engine does not tell",
    ),
    Known(
        "create_graph_retains",
        _ON_THE_TAPE,
        ("eager",),
        "the message names the op that was met first, which PyTorch's engine does not tell",
    ),
    Known(
        "a_shared_subgraph_is_freed_by_the_first_root",
        _ON_THE_TAPE,
        ("eager",),
        "the message names the op that was met first, which PyTorch's engine does not tell",
    ),
    Known(
        "a_failed_backward_leaves_gradients_alone",
        _ON_THE_TAPE,
        ("eager",),
        "the message names the op that was met first, which PyTorch's engine does not tell",
    ),
    Known(
        "a_graph_that_saved_nothing_may_be_walked_again",
        _ON_THE_TAPE,
        BOTH,
        "a node of the tape keeps its operands whatever its op, and releases them",
    ),
    Known(
        "a_second_order_of_a_linear_function_is_unused",
        _ON_THE_TAPE,
        BOTH,
        "a pullback is an op of all that its primal took, so that what it does not depend on has zeros and not None",
    ),
    Known(
        "a_complex_root_has_no_implicit_gradient",
        EVERYWHERE,
        BOTH,
        "a complex root of one element starts from one",
    ),
    Known(
        "a_gradient_that_is_no_tensor",
        EVERYWHERE,
        BOTH,
        "the error is Python's own: a number has no shape",
    ),
    Known(
        "a_gradient_of_another_kind",
        _ON_THE_TAPE,
        BOTH,
        "the dtype of a cotangent is not looked at, and the framework refuses it in its words",
    ),
    Known("roots_must_be_there", EVERYWHERE, BOTH, "no roots at all is an error"),
    Known("grad_wants_tensors", EVERYWHERE, BOTH, "the error is Python's own: a str has no requires_grad"),
)

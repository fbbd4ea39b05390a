"""The ops behind every random function: each takes a generator's state and returns values and the state after them.

Word ``i`` of a flattened result is word ``i`` of the stream from the state's offset on, unless an op says otherwise;
a draw of ``n`` words moves the offset by ``ceil(n / 4)`` blocks. Floats are computed in float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unified._dispatch import op
from unified._dtype import DType, Number
from unified._tensor import Tensor

Scalar = Number


@op()
def random_words(state: Tensor, count: int) -> tuple[Tensor, ...]:
    """``count`` words of 32 bits, as int32."""


@op()
def random_uniform(
    state: Tensor, size: tuple[int, ...], low: Scalar, span: Scalar, dtype: DType
) -> tuple[Tensor, ...]:
    """``low + span * u`` with ``u`` the upper 24 bits of a word (float16: 11, bfloat16: 8, float64: 53 of two)."""


@op()
def random_normal(
    state: Tensor, size: tuple[int, ...], mean: Scalar, std: Scalar, dtype: DType
) -> tuple[Tensor, ...]:
    """Box and Muller (1958): words ``2i`` and ``2i + 1`` are radius and angle of elements ``2i`` and ``2i + 1``."""


@op()
def random_truncated(
    state: Tensor, size: tuple[int, ...], low: Scalar, span: Scalar, dtype: DType
) -> tuple[Tensor, ...]:
    """The standard normal's quantile at ``(level + 1) / 2``, ``level = low + span * (word + 0.5) / 2**32``."""


@op()
def random_exponential(state: Tensor, size: tuple[int, ...], rate: Scalar, dtype: DType) -> tuple[Tensor, ...]:
    """``-log((word + 1) / 2**32) / rate``."""


@op()
def random_log_normal(
    state: Tensor, size: tuple[int, ...], mean: Scalar, std: Scalar, dtype: DType
) -> tuple[Tensor, ...]:
    """``exp(mean + std * n)``, with n of :func:`random_normal`."""


@op()
def random_cauchy(
    state: Tensor, size: tuple[int, ...], median: Scalar, sigma: Scalar, dtype: DType
) -> tuple[Tensor, ...]:
    """``median + sigma * tan(pi * ((word + 0.5) / 2**32 - 0.5))``."""


@op()
def random_geometric(state: Tensor, size: tuple[int, ...], rate: Scalar, dtype: DType) -> tuple[Tensor, ...]:
    """``ceil(-log((word + 1) / 2**32) / rate)``, but at least 1; ``rate`` is ``-log(1 - p)``."""


@op()
def random_integers(
    state: Tensor, size: tuple[int, ...], low: Scalar, last: Scalar, dtype: DType
) -> tuple[Tensor, ...]:
    """``low + word * (last + 1) // 2**32``; ``last`` is an unsigned word in an int32's bits."""


@op()
def random_bernoulli(state: Tensor, input: Tensor) -> tuple[Tensor, ...]:
    """1 where the upper 24 bits of a word, as a fraction, lie below the probability ``input``."""


@op()
def random_mask(state: Tensor, like: Tensor, size: tuple[int, ...], threshold: Scalar) -> tuple[Tensor, ...]:
    """1 where the upper 24 bits of a word lie below ``threshold``, in the dtype of ``like``."""


@op()
def random_permutation(state: Tensor, length: int, dtype: DType) -> tuple[Tensor, ...]:
    """The order that sorts ``length`` words; equal words keep theirs."""


@op()
def random_multinomial(state: Tensor, input: Tensor, num_samples: int, replacement: bool) -> tuple[Tensor, ...]:
    """Indices by inverse cumulated probability, or without replacement by the order of exponential arrivals."""


@op()
def native_uniform(
    state: Tensor, size: tuple[int, ...], low: Scalar, span: Scalar, dtype: DType
) -> tuple[Tensor, ...]:
    """As :func:`random_uniform`, from the framework's own generator, which the state's words seed."""


@op()
def native_normal(
    state: Tensor, size: tuple[int, ...], mean: Scalar, std: Scalar, dtype: DType
) -> tuple[Tensor, ...]:
    """As :func:`random_normal`, likewise."""


@op()
def native_mask(state: Tensor, like: Tensor, size: tuple[int, ...], threshold: Scalar) -> tuple[Tensor, ...]:
    """As :func:`random_mask`, likewise."""


NATIVE: dict[Callable[..., Any], Callable[..., Any]] = {
    random_uniform: native_uniform, random_normal: native_normal, random_mask: native_mask,
}  # fmt: skip
"""What a Generator of ``impl="native"`` draws by, where speed counts: initial weights, noise, dropout."""

BY_VALUE: set[Callable[..., Any]] = {random_bernoulli, random_multinomial}
"""Draws that depend on a Tensor's values, each their first argument."""

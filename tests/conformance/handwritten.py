"""Inputs for the ops of the table that no sample of the op database reaches, and the ops without a derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import unified as un
import unified.nn.functional as F
from unified._dispatch import table


class Case(NamedTuple):
    """One call: ``function`` of Tensors of these shapes, drawn uniformly from between the bounds."""

    op: str
    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    low: float = -1.0
    high: float = 1.0
    complex: bool = False
    twice: tuple[str, ...] = ("torch", "jax", "tensorflow")
    """Backends that have a second derivative."""

    def inputs(self) -> list[un.Tensor]:
        """The Tensors, on the current backend, in 64 bits."""
        generator = np.random.default_rng(len(self.op))

        def drawn(shape: tuple[int, ...]) -> Any:
            return generator.uniform(self.low, self.high, shape)

        dtype = un.complex128 if self.complex else un.float64
        values = [drawn(shape) + 1j * drawn(shape) if self.complex else drawn(shape) for shape in self.shapes]
        return [un.tensor(value, dtype=dtype, requires_grad=True) for value in values]


def _op(name: str, *args: Any) -> Callable[..., Any]:
    """The op of the table on its Tensors, followed by ``args``."""
    return lambda *tensors: table[name].caller(*tensors, *args)  # type: ignore[misc]


def _seeded(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*tensors: un.Tensor) -> Any:
        un.manual_seed(3)
        return function(*tensors)

    return call


def _at(*indices: int) -> un.Tensor:
    return un.tensor(indices, dtype=un.int32)


def _mask() -> un.Tensor:
    return un.tensor([True, False, True])


def _thin(a: un.Tensor) -> Any:
    u, s, vh = table["thin_svd"].caller(a)  # type: ignore[misc]
    return s, (u * s) @ vh  # the factors alone are free in their signs


def _reduced(reduce: str) -> Callable[..., Any]:
    return lambda x, src: table["reduce_at"].caller(x, _at(0, 2, 2, 4), src, reduce, True)  # type: ignore[misc]


def _layer(mode: str, packed: bool = False) -> Callable[..., Any]:
    """Of the input, the first states and the weights; ``packed`` sequences have lengths 3 and 1."""
    states = 2 if mode == "lstm" else 1

    def call(input: un.Tensor, *tensors: un.Tensor) -> Any:
        sizes = _at(2, 1, 1) if packed else None
        layer = table["recurrent_layer"].caller
        return layer(input, tensors[:states], tensors[states:], sizes, mode, False)  # type: ignore[misc]

    return call


CASES = (
    Case("affine_grid", lambda theta: F.affine_grid(theta, (2, 1, 2, 3), align_corners=False), ((2, 2, 3),)),
    Case("apply_alpha_mask", _seeded(lambda x: F.alpha_dropout(x, 0.5, True)), ((3, 4),)),
    Case("apply_slopes", _seeded(lambda x: F.rrelu(x, training=True)), ((3, 4),)),
    Case(
        "bags_of_equal_size",
        lambda w, p: F.embedding_bag(_at(0, 2, 2, 1).reshape(2, 2), w, mode="sum", per_sample_weights=p),
        ((3, 2), (2, 2)),
        twice=("jax", "tensorflow"),  # PyTorch has none
    ),
    Case("bernoulli_losses", _op("bernoulli_losses"), ((5,), (5,)), 0.1, 0.9),
    Case("conjugate_dot", _op("conjugate_dot", -1), ((2, 3), (2, 3))),
    Case("conjugate_dot", _op("conjugate_dot", -1), ((2, 3), (2, 3)), complex=True),
    Case("conjugate_transpose", _op("conjugate_transpose"), ((2, 3),)),
    Case("conjugate_transpose", _op("conjugate_transpose"), ((2, 3),), complex=True),
    Case("ctc_mean", lambda losses: _op("ctc_mean", _at(2, 0, 3))(losses), ((3,),)),
    Case("cube", _op("cube"), ((5,),)),
    Case("cube", _op("cube"), ((5,),), complex=True),
    Case("fold", lambda x: F.fold(x, (3, 4), 2), ((1, 4, 6),)),
    Case("frequency_scaled_rows", lambda w: F.embedding(_at(2, 0), w, scale_grad_by_freq=True), ((3, 2),)),
    Case("gru_cell", _op("gru_cell"), ((2, 2), (2, 3), (9, 2), (9, 3), (9,), (9,))),
    Case("igamma", lambda x: un.igamma(un.full_like(x.detach(), 1.5), x), ((5,),), 0.2, 3.0),
    Case("igammac", lambda x: un.igammac(un.full_like(x.detach(), 1.5), x), ((5,),), 0.2, 3.0),
    Case(
        "lstm_cell",
        lambda x, h, c, *weights: table["lstm_cell"].caller(x, (h, c), *weights),  # type: ignore[misc]
        ((2, 2), (2, 3), (2, 3), (12, 2), (12, 3), (12,), (12,)),
    ),
    Case("max_pool", lambda x: F.max_pool1d(x, 2), ((1, 2, 6),)),
    Case("median", lambda x: un.median(x, 1).values, ((3, 4),)),
    Case("nanmedian", lambda x: un.nanmedian(x, 1).values, ((3, 4),)),
    Case("padded_rows", lambda x: _op("padded_rows", _at(2, 1, 1), 2, 4, 0.5)(x)[0], ((4, 2),)),
    Case("recurrent_layer", _layer("gru"), ((3, 2, 2), (1, 2, 2), (6, 2), (6, 2), (6,), (6,))),
    Case("recurrent_layer", _layer("rnn_tanh", packed=True), ((4, 2), (1, 2, 2), (2, 2), (2, 2), (2,), (2,))),
    Case("recurrent_layer", _layer("rnn_relu"), ((3, 1, 2), (1, 1, 2), (2, 2), (2, 2)), 0.1, 1.0),
    Case(
        "recurrent_layer",
        _layer("lstm", packed=True),
        ((4, 2), (1, 2, 1), (1, 2, 2), (8, 2), (8, 1), (8,), (8,), (1, 2)),
    ),
    *[Case("reduce_at", _reduced(reduce), ((5,), (4,))) for reduce in ("sum", "prod", "mean", "amax", "amin")],
    Case("renormalized", lambda w: _op("renormalized", _at(2, 0), 0.5, 2.0)(w), ((3, 2),)),
    *[
        Case(f"rnn_{kind}_cell", _op(f"rnn_{kind}_cell"), ((2, 2), (2, 3), (3, 2), (3, 3), (3,), (3,)), 0.1, 1.0)
        for kind in ("relu", "tanh")
    ],
    Case("softmin", _op("softmin", 1), ((2, 3),)),
    Case("special_zeta", lambda x: un.special.zeta(un.full_like(x.detach(), 2.5), x), ((5,),), 0.5, 3.0),
    Case("squared_magnitude", _op("squared_magnitude"), ((5,),)),
    Case("squared_magnitude", _op("squared_magnitude"), ((5,),), complex=True),
    Case("thin_svd", _thin, ((3, 2),)),
    Case("to_device", lambda x: _op("to_device", x.device)(x), ((5,),)),
    Case("weigh", _op("weigh", -1, ((0, 1), (2, -1)), ((0.25, 0.75), (1.0, 0.0))), ((2, 3),)),
    Case(
        "write_where", lambda x, v: _op("write_where", v, False)(x, un.tensor([True, False, True])), ((3, 2), (2, 2))
    ),
)

PREFIX = "table."
"""Before an op's name, which may be a name of the op database too."""

NAMES = tuple(dict.fromkeys(PREFIX + case.op for case in CASES))


def cases(name: str) -> list[Case]:
    """The cases of a name of ``NAMES``; none of another."""
    return [case for case in CASES if PREFIX + case.op == name]


WITHOUT: dict[str, tuple[str, ...]] = {
    "the result is whole numbers or booleans": (
        "all", "any", "are_weights", "argmax", "argmin", "argsort", "bincount", "bitwise_and", "bitwise_left_shift",
        "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "coordinates_in", "count_nonzero", "eq",
        "gcd", "ge", "gt", "hash_tensor", "isclose", "isfinite", "isin", "isinf", "isnan", "isneginf", "isposinf",
        "isreal", "lcm", "le", "linalg_matrix_rank", "logical_and", "logical_not", "logical_or", "logical_xor", "lt",
        "lu_permutation", "masked_argmax", "masked_argmin", "ne", "nonzero_positions", "nonzero_static", "one_hot",
        "padded_targets", "repeated_positions", "run_ranks", "searchsorted", "segment_argmax", "signbit",
        "unique_ranks",
    ),
    "made out of nothing": ("causal_mask", "make_arange", "make_full", "make_full_like", "make_spaced"),
    "drawn: PyTorch has no gradient by a distribution's parameters": (
        "random_cauchy", "random_exponential", "random_geometric", "random_integers", "random_log_normal",
        "random_mask", "random_multinomial", "random_normal", "random_permutation", "random_truncated",
        "random_uniform", "random_words",
    ),
    "PyTorch has no derivative of it": (
        "binned", "even_edges", "floor_divide", "geqrf", "heaviside", "histc", "linalg_ldl_factor_ex",
        "linalg_ldl_solve",
    ),
    "an optimiser's step, which runs within no_grad": ("adam_update", "sgd_update"),
    "a constant to every derivative, by its definition": ("stop_gradient",),
}  # fmt: skip
"""Ops that gradcheck is not asked about, by reason."""

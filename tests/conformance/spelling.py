"""Our function for a name of the op database: found by its dotted name, unless the database spells it its own way."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

import unified as un
import unified.nn.functional as F


def _method(name: str) -> Callable[..., Any]:
    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(input, name)(*args, **kwargs)

    return call


def _attribute(name: str) -> Callable[..., Any]:
    return lambda input: getattr(input, name)


def _seeded(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        un.manual_seed(0)
        return function(*args, **kwargs)

    return call


def _drawn_in_place(name: str) -> Callable[..., Any]:
    @_seeded
    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        with un.no_grad():
            return getattr(input.clone(), name)(*args, **kwargs)

    return call


def _distance_loss(*args: Any, distance_function: Any = None, **kwargs: Any) -> Any:
    """The database gives PyTorch's module as distance; its function of the same meaning is ours."""
    if isinstance(distance_function, torch.nn.PairwiseDistance):
        distance_function = F.pairwise_distance
    return F.triplet_margin_with_distance_loss(*args, distance_function=distance_function, **kwargs)


RANDOM = {
    "cauchy", "exponential", "geometric", "log_normal", "normal", "uniform", "randn", "randn_like", "rand_like",
    "randint", "randint_like", "multinomial", "bernoulli", "nn.functional.dropout", "nn.functional.dropout2d",
    "nn.functional.dropout3d", "nn.functional.alpha_dropout", "nn.functional.feature_alpha_dropout",
    "nn.functional.rrelu", "nn.functional.fractional_max_pool2d", "nn.functional.fractional_max_pool3d",
    "nn.functional.scaled_dot_product_attention",
    "nn.functional.multi_head_attention_forward", "svd_lowrank", "pca_lowrank",
}  # fmt: skip
"""Names that may draw random numbers; where a sample does, see ``oracle.function_of``."""

ORDERS: dict[str, int] = {"sort": 0, "argsort": 0, "topk": 1, "kthvalue": 1, "mode": 0}
"""Names whose indices PyTorch leaves open among equal elements, and where ``dim`` stands in the arguments that follow
the input; see ``oracle.pointed_to``."""

_SPELLED: dict[str, Callable[..., Any]] = {
    "item": lambda x: x.item(),
    "T": _attribute("T"),
    "H": _attribute("H"),
    "mT": _attribute("mT"),
    "mH": _attribute("mH"),
    "einsum": lambda tensors, equation: un.einsum(equation, *tensors),
    "where": lambda x, condition, other, **kwargs: un.where(condition, x, other, **kwargs),
    "zero_": lambda x: x.clone().zero_(),
    "__rdiv__": _method("__rtruediv__"),
    "polygamma": lambda x, n: un.polygamma(n, x),
    "special.polygamma": lambda x, n: un.special.polygamma(n, x),
    "nn.functional.embedding": lambda weight, index, **kwargs: F.embedding(index, weight, **kwargs),
    "nn.functional.embedding_bag": lambda weight, index, **kwargs: F.embedding_bag(index, weight, **kwargs),
    "nn.functional.triplet_margin_with_distance_loss": _distance_loss,
    "linalg.lstsq": lambda a, b, driver=None: un.linalg.lstsq(a, b, driver=driver),
    "svd_lowrank": _seeded(lambda a, b, **kwargs: un.svd_lowrank(a @ b.mT, **kwargs)),
    "pca_lowrank": _seeded(lambda a, b, **kwargs: un.pca_lowrank(a @ b.mT, **kwargs)),
    "cauchy": _drawn_in_place("cauchy_"),
    "exponential": _drawn_in_place("exponential_"),
    "geometric": _drawn_in_place("geometric_"),
    "log_normal": _drawn_in_place("log_normal_"),
    "uniform": _drawn_in_place("uniform_"),
}

_VARIANTS: dict[tuple[str, str], Callable[..., Any]] = {
    ("normal", "in_place"): _drawn_in_place("normal_"),
    ("normal", "number_mean"): _seeded(lambda std, mean, *args, **kwargs: un.normal(mean, std, *args, **kwargs)),
    ("linalg.lstsq", "grad_oriented"): lambda a, b, driver=None: un.linalg.lstsq(a, b, driver=driver)[:2],
    ("linalg.pinv", "singular"): lambda a, b: un.linalg.pinv(a @ b.mT),
}

_METHODS = {
    "contiguous", "sum_to_size", "expand", "expand_as", "to", "reshape_as", "view", "view_as", "__getitem__",
    "bfloat16", "bool", "byte", "char", "double", "float", "half", "int", "long", "short", "cdouble", "cfloat",
    "new_zeros", "new_ones", "new_full", "repeat", "unfold",
}  # fmt: skip
"""Names that PyTorch has as methods alone, though ``torch`` may have something else of the name."""


def _unit_triangular(function: Callable[..., Any], input: Any, *args: Any, upper: bool = False, **kwargs: Any) -> Any:
    """One triangle of ``input`` with ones on its diagonal."""
    unit = un.where(un.eye(input.shape[-1]) == 1, 1.0, input)
    return function(unit.triu() if upper else unit.tril(), *args, upper=upper, **kwargs)


_WRAPPERS = {"gradcheck_wrapper_triangular_input_real_positive_diagonal": _unit_triangular}
"""Wrappers of the database that call functions of ``torch``, where ours must be called for our Tensors."""


def wrapped(info: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of ours of the arguments for which the database wants it differentiated."""
    return functools.partial(_WRAPPERS.get(info.gradcheck_wrapper.__name__, info.gradcheck_wrapper), function)


class NotThereError(Exception):
    """We have no function of this name."""


def ours(info: Any) -> Callable[..., Any]:
    """The function of ours that an OpInfo is compared with.

    Raises:
        NotThereError: there is none.
    """
    name = info.name
    spelled = _VARIANTS.get((name, info.variant_test_name)) or _SPELLED.get(name)
    if spelled is not None:
        return spelled
    method = name in _METHODS or (name.startswith("__") and name.endswith("__"))
    if method:
        if not hasattr(un.Tensor, name):
            raise NotThereError(f"un.Tensor has no {name}")
        return _method(name)
    try:
        found: Callable[..., Any] = functools.reduce(getattr, name.split("."), un)
    except AttributeError:
        if not hasattr(un.Tensor, name):
            raise NotThereError(f"un has no {name}") from None
        found = _method(name)
    return _seeded(found) if name in RANDOM else found

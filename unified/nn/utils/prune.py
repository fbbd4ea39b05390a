"""Pruning: parameters times a mask of zeros and ones, which is kept beside them."""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from unified._tensor import Tensor
from unified.autograd import no_grad
from unified.errors import ArgumentError, IndexOutOfRangeError, OperandError, ShapeError
from unified.nn.module import Module
from unified.nn.utils._recomputed import Recomputed, attached
from unified.nn.utils.convert_parameters import parameters_to_vector
from unified.ops.distance import linalg_matrix_norm
from unified.ops.reduction import linalg_vector_norm, topk
from unified.random.sampling import rand_like

Amount = int | float
"""How many: a count, or a fraction of what is there."""


class BasePruningMethod(Recomputed, ABC):
    """A way to choose a mask. A subclass names its ``PRUNING_TYPE`` and defines :meth:`compute_mask`.

    ``PRUNING_TYPE`` says what a second pruning of the same parameter looks at: ``"unstructured"`` the elements that
    are left, ``"structured"`` the channels along ``self.dim`` that are left, ``"global"`` everything.
    """

    PRUNING_TYPE: ClassVar[str]
    name = ""

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The new mask, of the shape of ``t``.

        Args:
            t: the importance of each element; its absolute value counts, if the method has no other idea.
            default_mask: the mask so far, to be zero in the new one where it is.
        """

    def apply_mask(self, module: Module) -> Tensor:
        """The parameter times its mask."""
        original: Tensor = getattr(module, f"{self.name}_orig")
        mask: Tensor = getattr(module, f"{self.name}_mask")
        return mask.to(original.dtype) * original

    def compute(self, module: Module) -> Tensor:
        return self.apply_mask(module)

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any
    ) -> BasePruningMethod:
        """Prunes ``module.<name>``, on top of what has been pruned of it; returns what computes it from now on.

        Args:
            module: the owner.
            name: a parameter, or one that is pruned already.
            args: for the constructor of this class, as are ``kwargs``.
            importance_scores: what the mask is chosen by, in the place of the parameter.

        Raises:
            ArgumentError: no such parameter, or an amount that does not fit.
            ShapeError: scores of another shape. Nothing is changed when this fails.
        """
        value = getattr(module, name, None)
        if not isinstance(value, Tensor):
            raise ArgumentError(f"prune: {type(module).__name__} has no parameter named {name!r}")
        if importance_scores is not None and importance_scores.shape != value.shape:
            raise ShapeError(
                f"prune: importance_scores of shape {tuple(importance_scores.shape)} do not fit {name!r} of shape "
                f"{tuple(value.shape)}"
            )
        method: BasePruningMethod = cls(*args, **kwargs)
        method.name = name
        scores = (value if importance_scores is None else importance_scores).detach()
        before = attached(module, BasePruningMethod, name)
        if before:
            chain = PruningContainer(*(before[0] if isinstance(before[0], PruningContainer) else before), method)
            with no_grad():
                mask = chain.compute_mask(scores, getattr(module, f"{name}_mask").clone())
            before[0].detach()
            method = chain
        else:
            if name not in module._parameters:
                raise ArgumentError(f"prune: {name!r} of {type(module).__name__} is no parameter")
            with no_grad():
                mask = method.compute_mask(scores, value.detach().ones_like())
            module.register_parameter(f"{name}_orig", module._parameters.pop(name))
        module.register_buffer(f"{name}_mask", mask)
        setattr(module, name, method.apply_mask(module))
        method.attach(module)
        return method

    def prune(self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None) -> Tensor:
        """``t`` times a mask chosen by ``importance_scores``, or by ``t`` itself; no Module is involved.

        Raises:
            ShapeError: scores of another shape.
        """
        if importance_scores is not None and importance_scores.shape != t.shape:
            raise ShapeError(
                f"prune: importance_scores of shape {tuple(importance_scores.shape)} do not fit {tuple(t.shape)}"
            )
        scores = t if importance_scores is None else importance_scores
        return t * self.compute_mask(scores, t.detach().ones_like() if default_mask is None else default_mask)

    def remove(self, module: Module) -> None:
        """Makes the pruned values those of the parameter itself; what was pruned stays zero."""
        original = module._parameters[f"{self.name}_orig"]
        assert original is not None
        original.data = self.apply_mask(module).detach()
        self.detach()
        for part in (self.name, f"{self.name}_orig", f"{self.name}_mask"):
            delattr(module, part)
        module.register_parameter(self.name, original)


class PruningContainer(BasePruningMethod):
    """Several prunings of one parameter, one after the other."""

    def __init__(self, *methods: BasePruningMethod) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if methods:
            self.name = methods[0].name
        for method in methods:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod) -> None:
        """Adds one.

        Raises:
            OperandError, ArgumentError: it is no pruning method, or one of another parameter.
        """
        if not isinstance(method, BasePruningMethod):
            raise OperandError(f"{type(method).__name__} is not a BasePruningMethod subclass")
        if method.name != self.name:
            raise ArgumentError(f"a container of prunings of {self.name!r} cannot take one of {method.name!r}")
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, index: int) -> BasePruningMethod:
        return self._pruning_methods[index]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The latest method's mask of what ``default_mask`` leaves, in its place in that."""
        method = self._pruning_methods[-1]
        kind = method.PRUNING_TYPE
        index: Any
        if kind == "unstructured":
            index = default_mask == 1
        elif kind == "structured":
            dim = range(t.ndim)[method.dim]  # type: ignore[attr-defined]
            others = [d for d in range(t.ndim) if d != dim]
            index = tuple(slice(None) if d != dim else default_mask.sum(others) != 0 for d in range(t.ndim))
        elif kind == "global":
            index = (slice(None),) * t.ndim
        else:
            raise ArgumentError(f"prune: unknown PRUNING_TYPE {kind!r}; use 'unstructured', 'structured' or 'global'")
        mask: Tensor = default_mask.to(t.dtype)
        mask[index] = method.compute_mask(t[index], default_mask[index]).to(mask.dtype)
        return mask


def _count(amount: Amount, size: int) -> int:
    """How many of ``size`` to prune."""
    if not isinstance(amount, numbers.Integral):
        return round(float(amount) * size)
    if int(amount) > size:
        raise ArgumentError(f"prune: amount={amount} is more than the {size} that there are to prune")
    return int(amount)


def _amount(amount: Any) -> Amount:
    if not isinstance(amount, numbers.Real):
        raise OperandError(f"prune: amount must be an int or a float, not {amount!r}")
    allowed = int(amount) >= 0 if isinstance(amount, numbers.Integral) else 0.0 <= float(amount) <= 1.0
    if not allowed:
        raise ArgumentError(f"prune: amount={amount} must be a fraction in [0, 1] or a count that is not negative")
    given: Amount = amount  # type: ignore[assignment]
    return given


def _without(mask: Tensor, positions: Tensor) -> Tensor:
    """``mask`` with zeros at flat ``positions``."""
    flat: Tensor = mask.reshape(-1).clone()
    flat[positions] = 0
    pruned: Tensor = flat.reshape(tuple(mask.shape))
    return pruned


class Identity(BasePruningMethod):
    """Prunes nothing: a mask of ones, for what is to be pruned by hand."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class RandomUnstructured(BasePruningMethod):
    """Any elements."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: Amount) -> None:
        self.amount = _amount(amount)

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = _count(self.amount, t.numel())
        return _without(default_mask, topk(rand_like(t).reshape(-1), count)[1]) if count else default_mask.clone()


class L1Unstructured(BasePruningMethod):
    """The elements nearest to 0."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: Amount) -> None:
        self.amount = _amount(amount)

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = _count(self.amount, t.numel())
        smallest = topk(t.abs().reshape(-1), count, largest=False)[1] if count else None
        return default_mask.clone() if smallest is None else _without(default_mask, smallest)


class _Structured(BasePruningMethod):
    """Whole channels along ``dim``."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Amount, dim: int) -> None:
        self.amount = _amount(amount)
        self.dim = dim

    def importance(self, t: Tensor) -> Tensor:
        """Of each channel; the least ones go."""
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if t.ndim < 2:
            raise ShapeError(f"prune: only what has several dimensions has channels, not {tuple(t.shape)}")
        if not -t.ndim <= self.dim < t.ndim:
            raise IndexOutOfRangeError(f"prune: dim={self.dim} is out of range for shape {tuple(t.shape)}")
        channels = t.shape[self.dim]
        count = _count(self.amount, channels)
        if not count:
            return default_mask
        kept = topk(self.importance(t), channels - count)[1]
        mask: Tensor = t.new_zeros(channels)
        mask[kept] = 1
        shape = [1] * t.ndim
        shape[self.dim] = channels
        pruned: Tensor = mask.reshape(shape) * default_mask.to(mask.dtype)
        return pruned


class RandomStructured(_Structured):
    """Any channels."""

    def __init__(self, amount: Amount, dim: int = -1) -> None:
        super().__init__(amount, dim)

    def importance(self, t: Tensor) -> Tensor:
        drawn: Tensor = rand_like(t.new_empty(t.shape[self.dim]))
        return drawn


class LnStructured(_Structured):
    """The channels of the smallest ``n``-norm."""

    def __init__(self, amount: Amount, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def importance(self, t: Tensor) -> Tensor:
        others = [d for d in range(t.ndim) if d != self.dim % t.ndim]
        if isinstance(self.n, str) and self.n == "nuc":
            return linalg_matrix_norm(t, "nuc", (others[0], others[-1]))
        return linalg_vector_norm(t, 2 if self.n == "fro" else self.n, tuple(others))


class CustomFromMask(BasePruningMethod):
    """A mask of the user's."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if not isinstance(self.mask, Tensor) or self.mask.shape != default_mask.shape:
            raise ShapeError(f"prune: the mask does not fit a parameter of shape {tuple(default_mask.shape)}")
        return default_mask * self.mask.to(default_mask.dtype)


def identity(module: Module, name: str) -> Module:
    """Puts a mask of ones on ``module.<name>``; returns ``module``, as all functions here do.

    The parameter becomes ``<name>_orig``, the mask is the buffer ``<name>_mask``, and ``<name>`` their product,
    computed before every forward pass.
    """
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: Amount) -> Module:
    """Prunes ``amount`` elements of ``module.<name>`` that are left, drawn at random.

    Raises:
        OperandError, ArgumentError: an amount that is none, or is more than there are.
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Module, name: str, amount: Amount, importance_scores: Tensor | None = None) -> Module:
    """Prunes the ``amount`` elements of ``module.<name>`` with the smallest absolute values (or scores).

    Raises:
        OperandError, ArgumentError: an amount that is none, or is more than there are.
    """
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: Amount, dim: int) -> Module:
    """Prunes ``amount`` channels along ``dim``, drawn at random.

    Raises:
        OperandError, ArgumentError: an amount that is none, or is more than there are.
        ShapeError, IndexOutOfRangeError: no channels, or no such dimension.
    """
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module, name: str, amount: Amount, n: Any, dim: int, importance_scores: Tensor | None = None
) -> Module:
    """Prunes the ``amount`` channels along ``dim`` with the smallest ``n``-norm.

    Args:
        module: the owner.
        name: the parameter.
        amount: a count or a fraction.
        n: the order: a number, infinities included, ``"fro"``, or ``"nuc"`` for three dimensions.
        dim: the dimension of the channels.
        importance_scores: what norms are taken of, in the place of the parameter.

    Raises:
        OperandError, ArgumentError: an amount that is none, or is more than there are.
        ShapeError, IndexOutOfRangeError: no channels, or no such dimension.
    """
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prunes what is 0 in ``mask``.

    Raises:
        ShapeError: the mask does not fit.
    """
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]], pruning_method: type[BasePruningMethod],
    importance_scores: Mapping[tuple[Module, str], Tensor] | None = None, **kwargs: Any,
) -> None:  # fmt: skip
    """Prunes several parameters as if they were one vector.

    Args:
        parameters: pairs of a Module and a parameter's name.
        pruning_method: a class of ``PRUNING_TYPE`` ``"unstructured"``, as ``L1Unstructured``.
        importance_scores: by such a pair what the mask is chosen by, in the place of the parameter.
        kwargs: for the class, as ``amount=0.3``.

    Raises:
        OperandError: not pairs, not such a class, or scores that are no dict.
        ArgumentError: an amount that is more than there are. Nothing is pruned then.
    """
    if not isinstance(parameters, Iterable):
        raise OperandError("global_unstructured: parameters must be pairs of a Module and a name")
    pairs = list(parameters)
    if importance_scores is not None and not isinstance(importance_scores, Mapping):
        raise OperandError("global_unstructured: importance_scores must be a dict")
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise OperandError(
            f"global_unstructured: {pruning_method.__name__} prunes by {method.PRUNING_TYPE!r}; only 'unstructured' "
            "has a meaning across parameters"
        )
    given = importance_scores or {}
    values = [getattr(module, name) for module, name in pairs]
    scores = [given.get(pair, value).detach() for pair, value in zip(pairs, values, strict=True)]
    masks = [getattr(m, f"{name}_mask", v.detach().ones_like()) for (m, name), v in zip(pairs, values, strict=True)]
    with no_grad():
        mask = PruningContainer(method).compute_mask(parameters_to_vector(scores), parameters_to_vector(masks))
    start = 0
    for (module, name), value in zip(pairs, values, strict=True):
        count = value.numel()
        custom_from_mask(module, name, mask[start : start + count].reshape(tuple(value.shape)))
        start += count


def remove(module: Module, name: str) -> Module:
    """Makes the pruned values those of the parameter; the mask and ``<name>_orig`` go. Nothing comes back.

    Raises:
        ArgumentError: it is not pruned.
    """
    for method in attached(module, BasePruningMethod, name):
        method.remove(module)
        return module
    raise ArgumentError(f"prune.remove: {name!r} of {type(module).__name__} is not pruned")


def is_pruned(module: Module) -> bool:
    """Whether a parameter of ``module``, or of one below it, is pruned."""
    return any(attached(child, BasePruningMethod) for child in module.modules())

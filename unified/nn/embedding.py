"""Look-up tables."""

from __future__ import annotations

from typing import Any, Self

from unified._dtype import DType
from unified._tensor import Tensor
from unified.autograd.grad_mode import no_grad
from unified.errors import ArgumentError, ShapeError
from unified.nn import functional as F
from unified.nn import init
from unified.nn.module import Module
from unified.nn.parameter import Parameter
from unified.ops.creation import empty


class _Table(Module):
    """The rows ``weight (num_embeddings, embedding_dim)``, and how they are trained."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
        scale_grad_by_freq: bool,
        sparse: bool,
        _weight: Tensor | None,
        _freeze: bool,
        device: Any,
        dtype: DType | None,
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ArgumentError(f"{kind}: padding_idx {padding_idx} must be within num_embeddings {num_embeddings}")
        if sparse:
            raise ArgumentError(
                f"{kind}: gradients are dense on every backend, so sparse=True has no meaning; leave it out"
            )
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        if _weight is None:
            drawn = empty(num_embeddings, embedding_dim, device=device, dtype=dtype)
            self.weight = Parameter(drawn, requires_grad=not _freeze)
            self.reset_parameters()
            return
        if tuple(_weight.shape) != (num_embeddings, embedding_dim):
            raise ShapeError(f"{kind}: weight {tuple(_weight.shape)} must be ({num_embeddings}, {embedding_dim})")
        self.weight = Parameter(_weight, requires_grad=not _freeze)

    def reset_parameters(self) -> None:
        """Standard normal, zeros at ``padding_idx``."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    @classmethod
    def _of(cls, embeddings: Tensor, **options: Any) -> Self:
        """A table of these rows, which ``un.save_model`` writes as its state and not as its arguments."""
        if embeddings.ndim != 2:
            raise ShapeError(f"{cls.__name__}: embeddings {tuple(embeddings.shape)} must have 2 dimensions")
        rows, features = embeddings.shape
        table = cls(rows, features, _weight=embeddings, **options)
        del table._configuration[1]["_weight"]
        return table

    def _options(self) -> str:
        """What differs from the defaults."""
        parts = [
            f", max_norm={self.max_norm}" if self.max_norm is not None else "",
            f", norm_type={self.norm_type}" if self.norm_type != 2 else "",
            f", scale_grad_by_freq={self.scale_grad_by_freq}" if self.scale_grad_by_freq else "",
        ]
        return "".join(parts)


class Embedding(_Table):
    """A row of ``weight (num_embeddings, embedding_dim)`` for each integer of the input.

    Args:
        num_embeddings: rows.
        embedding_dim: length of a row.
        padding_idx: a row that starts as zeros and is not trained.
        max_norm: rows that are used and longer are first scaled to this norm, in ``weight`` itself.
        norm_type: the p of that norm.
        scale_grad_by_freq: divides a row's gradient by how often the input names it.
        sparse: must be False: gradients are dense on every backend.

    Example: indices ``(8, 16)`` in ``Embedding(1000, 32)`` give ``(8, 16, 32)``.

    Raises:
        ArgumentError: ``padding_idx`` lies outside of the table, or ``sparse``.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight,
            _freeze, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """``(..., embedding_dim)`` of indices ``input (...)``."""
        return F.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq
        )

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}{self._options()}"

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """A table of the rows ``embeddings (rows, features)``, not trained if ``freeze``.

        Raises:
            ShapeError: ``embeddings`` is no matrix.
            ArgumentError: as of the class.
        """
        return cls._of(
            embeddings, padding_idx=padding_idx, max_norm=max_norm, norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq, sparse=sparse, _freeze=freeze,
        )  # fmt: skip


class EmbeddingBag(_Table):
    """The sum, mean or maximum of the rows that each bag of integers names.

    Args:
        num_embeddings, embedding_dim, max_norm, norm_type, scale_grad_by_freq, sparse: as of :class:`Embedding`.
        mode: ``"sum"``, ``"mean"`` or ``"max"``.
        include_last_offset: ``offsets`` has one element more, where the last bag ends.
        padding_idx: a row that starts as zeros and belongs to no bag, wherever the input names it.

    Example: indices ``(8, 16)`` in ``EmbeddingBag(1000, 32)`` give ``(8, 32)``.

    Raises:
        ArgumentError: ``padding_idx`` lies outside of the table, or ``sparse``.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight,
            False, device, dtype,
        )  # fmt: skip
        self.mode = mode
        self.include_last_offset = include_last_offset

    def forward(
        self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None
    ) -> Tensor:
        """``(bags, embedding_dim)``.

        Args:
            input: indices, ``(bags, size)``, or ``(n,)`` cut into bags by ``offsets``.
            offsets: ``(bags,)``, where each bag starts; an empty bag gives 0.
            per_sample_weights: factors of the rows, like ``input``; in mode ``"sum"`` only.
        """
        return F.embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, False,
            per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The sizes, the mode, and what differs from the defaults."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{self._options()}, mode={self.mode!r}{padding}"

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """A table of the rows ``embeddings (rows, features)``, not trained if ``freeze``.

        Raises:
            ShapeError: ``embeddings`` is no matrix.
            ArgumentError: as of the class.
        """
        bag = cls._of(
            embeddings, max_norm=max_norm, norm_type=norm_type, scale_grad_by_freq=scale_grad_by_freq, mode=mode,
            sparse=sparse, include_last_offset=include_last_offset, padding_idx=padding_idx,
        )  # fmt: skip
        bag.weight.requires_grad_(not freeze)
        return bag

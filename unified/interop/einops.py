"""einops over Tensors, and its layers as Modules: ``from unified.interop.einops import Rearrange``.

Importing this module makes ``einops.rearrange(x, ...)`` and the others take Tensors. That happens by itself where
einops is imported before the first use of a backend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from einops._backends import AbstractBackend
from einops.layers import RearrangeMixin, ReduceMixin
from einops.layers._einmix import _EinmixMixin

from unified._tensor import Tensor
from unified.nn.init import uniform_
from unified.nn.module import Module
from unified.nn.parameter import Parameter
from unified.ops.creation import arange, empty, tensor
from unified.ops.joining import cat, stack
from unified.ops.linalg import einsum

__all__ = ["EinMix", "Rearrange", "Reduce"]

_ALL_AT_ONCE = {"min": "amin", "max": "amax", "sum": "sum", "mean": "mean"}


class UnifiedBackend(AbstractBackend):
    """What einops calls; it finds it among the subclasses of its own."""

    framework_name = "unified"

    def is_appropriate_type(self, tensor: Any) -> bool:
        return isinstance(tensor, Tensor)

    def from_numpy(self, x: Any) -> Tensor:
        return tensor(x)

    def to_numpy(self, x: Tensor) -> Any:
        return x.detach().numpy()

    def arange(self, start: int, stop: int) -> Tensor:
        return arange(start, stop)

    def shape(self, x: Tensor) -> tuple[int, ...]:
        return tuple(x.shape)

    def transpose(self, x: Tensor, axes: Sequence[int]) -> Any:
        return x.permute(tuple(axes))

    def reduce(self, x: Tensor, operation: str, axes: Sequence[int]) -> Any:
        if operation in _ALL_AT_ONCE:
            return getattr(x, _ALL_AT_ONCE[operation])(tuple(axes))
        for axis in sorted(axes, reverse=True):  # prod, any, all
            x = getattr(x, operation)(axis)
        return x

    def stack_on_zeroth_dimension(self, tensors: Sequence[Tensor]) -> Tensor:
        return stack(tensors)

    def add_axis(self, x: Tensor, new_position: int) -> Any:
        return x.unsqueeze(new_position)

    def add_axes(self, x: Tensor, n_axes: int, pos2len: Mapping[int, int]) -> Any:
        lengths = [-1] * n_axes
        for position, length in pos2len.items():
            x = x.unsqueeze(position)
            lengths[position] = length
        return x.expand(tuple(lengths))

    def tile(self, x: Tensor, repeats: Sequence[int]) -> Any:
        return x.repeat(tuple(repeats))

    def concat(self, tensors: Sequence[Tensor], axis: int) -> Tensor:
        return cat(tensors, axis)

    def is_float_type(self, x: Tensor) -> bool:
        return x.is_floating_point()

    def einsum(self, pattern: str, *x: Tensor) -> Tensor:
        return einsum(pattern, *x)


class Rearrange(RearrangeMixin, Module):
    """``einops.rearrange`` as a layer: ``Rearrange("b c h w -> b (c h w)")``."""

    def forward(self, input: Tensor) -> Any:
        """``input``, rearranged."""
        apply: Any = self._apply_recipe
        return apply(input)


class Reduce(ReduceMixin, Module):
    """``einops.reduce`` as a layer: ``Reduce("b c (h 2) (w 2) -> b c h w", "max")``."""

    def forward(self, input: Tensor) -> Any:
        """``input``, reduced."""
        apply: Any = self._apply_recipe
        return apply(input)


class EinMix(_EinmixMixin, Module):
    """A product with a weight along named axes: ``EinMix("b i -> b o", "i o", "o", i=3, o=4)``."""

    einsum_pattern: str

    def __init__(self, pattern: str, weight_shape: str, bias_shape: str | None = None, **axes_lengths: Any) -> None:
        Module.__init__(self)
        super().__init__(pattern, weight_shape, bias_shape, **axes_lengths)

    def _create_parameters(
        self, weight_shape: Sequence[int], weight_bound: float, bias_shape: Sequence[int] | None, bias_bound: float
    ) -> None:
        self.weight = Parameter(empty(tuple(weight_shape)))
        uniform_(self.weight, -weight_bound, weight_bound)
        self.register_parameter("bias", None if bias_shape is None else Parameter(empty(tuple(bias_shape))))
        if self.bias is not None:
            uniform_(self.bias, -bias_bound, bias_bound)

    def _create_rearrange_layers(
        self,
        pre_reshape_pattern: str | None,
        pre_reshape_lengths: Mapping[str, int] | None,
        post_reshape_pattern: str | None,
        post_reshape_lengths: Mapping[str, int] | None,
    ) -> None:
        before = (
            None if pre_reshape_pattern is None else Rearrange(pre_reshape_pattern, **(pre_reshape_lengths or {}))
        )
        after = (
            None if post_reshape_pattern is None else Rearrange(post_reshape_pattern, **(post_reshape_lengths or {}))
        )
        self.add_module("pre_rearrange", before)
        self.add_module("post_rearrange", after)

    def forward(self, input: Tensor) -> Any:
        """The contraction of ``input`` with the weight, plus the bias."""
        if self.pre_rearrange is not None:
            input = self.pre_rearrange(input)
        output = einsum(self.einsum_pattern, input, self.weight)
        if self.bias is not None:
            output = output + self.bias
        return output if self.post_rearrange is None else self.post_rearrange(output)

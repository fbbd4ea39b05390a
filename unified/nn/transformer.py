"""The Transformer and its parts; Vaswani et al., "Attention Is All You Need" (2017)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, ClassVar

from unified._dtype import DType
from unified._tensor import Tensor
from unified.errors import ArgumentError, ShapeError
from unified.nn import functional as F
from unified.nn import init
from unified.nn.attention import MultiheadAttention
from unified.nn.container import ModuleList
from unified.nn.dropout import Dropout
from unified.nn.linear import Linear
from unified.nn.module import Module
from unified.nn.normalization import LayerNorm
from unified.ops.creation import full
from unified.ops.shape import triu

Activation = str | Callable[[Tensor], Tensor]


_NAMES: dict[Any, str] = {F.relu: "relu", F.gelu: "gelu"}
"""By name an activation can be written to a file with the Module."""


def _activation(activation: Activation) -> Callable[[Tensor], Tensor]:
    if not isinstance(activation, str):
        return activation
    if activation not in ("relu", "gelu"):
        raise ArgumentError(f"activation should be relu/gelu, not {activation}")
    named: Callable[[Tensor], Tensor] = F.relu if activation == "relu" else F.gelu
    return named


class _Layer(Module):
    """What an encoder and a decoder layer share: attention over itself, two linear layers, and the sums."""

    over_memory: ClassVar[bool] = False
    """Whether there is attention over an encoder's output too."""
    norm1: Module
    dropout1: Module
    self_attn: MultiheadAttention

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        place: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=batch_first, **place)
        if self.over_memory:
            self.multihead_attn = MultiheadAttention(
                d_model, nhead, dropout=dropout, batch_first=batch_first, **place
            )
        self.linear1 = Linear(d_model, dim_feedforward, **place)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **place)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, **place)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, **place)
        if self.over_memory:
            self.norm3 = LayerNorm(d_model, eps=layer_norm_eps, **place)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        if self.over_memory:
            self.dropout3 = Dropout(dropout)
        self.activation = _activation(activation)

    def _added(self, x: Tensor, norm: Module, block: Callable[[Tensor], Tensor]) -> Tensor:
        """``x`` plus what ``block`` makes of it, normalised before (Xiong et al., 2020) or after."""
        result: Tensor = x + block(norm(x)) if self.norm_first else norm(x + block(x))
        return result

    def _attend_to_itself(self, x: Tensor, mask: Tensor | None, padding: Tensor | None, is_causal: bool) -> Tensor:
        attended = self.self_attn(
            x, x, x, key_padding_mask=padding, need_weights=False, attn_mask=mask, is_causal=is_causal
        )[0]
        dropped: Tensor = self.dropout1(attended)
        return dropped

    def _feed_forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return hidden


class TransformerEncoderLayer(_Layer):
    """Attention over the sequence itself and two linear layers, each added to its input and normalised.

    Args:
        d_model: features E.
        nhead: attention heads, a divisor of E.
        dim_feedforward: features between the two linear layers.
        dropout: probability of zeroing an activation while training.
        activation: between the two linear layers: ``"relu"``, ``"gelu"`` or any function of a Tensor.
        layer_norm_eps: added to variances.
        batch_first: ``(N, S, E)`` instead of ``(S, N, E)``.
        norm_first: normalise what goes into attention and linear layers, not the sums.
        bias: whether linear layers and norms have one.

    Raises:
        ArgumentError: E is no multiple of ``nhead``, or the activation is unknown.

    Example:
        >>> nn.TransformerEncoderLayer(8, 2, 32)(un.ones(5, 3, 8)).shape
        unified.Size([5, 3, 8])
    """

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Encodes ``src (S, N, E)``, ``(N, S, E)`` with ``batch_first``, or ``(S, E)``.

        Args:
            src_mask: ``(S, S)`` or ``(N * nhead, S, S)``; bool (True is *not* seen) or added to the scores.
            src_key_padding_mask: ``(N, S)`` or ``(S,)``, likewise.
            is_causal: ``src_mask`` is the causal one.

        Raises:
            ShapeError, DTypeError, ArgumentError: the operands do not fit.
        """
        x = self._added(
            src, self.norm1, lambda x: self._attend_to_itself(x, src_mask, src_key_padding_mask, is_causal)
        )
        return self._added(x, self.norm2, lambda x: self.dropout2(self._feed_forward(x)))


class TransformerDecoderLayer(_Layer):
    """An encoder layer with attention over an encoder's output ("memory") in between.

    Arguments as of :class:`TransformerEncoderLayer`.

    Example:
        >>> nn.TransformerDecoderLayer(8, 2, 32)(un.ones(5, 3, 8), un.ones(7, 3, 8)).shape
        unified.Size([5, 3, 8])
    """

    over_memory = True

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Decodes ``tgt (T, N, E)`` over ``memory (S, N, E)``, with N first for ``batch_first``, or without N.

        Args:
            tgt_mask: ``(T, T)`` or ``(N * nhead, T, T)``; bool (True is *not* seen) or added to the scores.
            memory_mask: ``(T, S)`` or ``(N * nhead, T, S)``, likewise.
            tgt_key_padding_mask: ``(N, T)`` or ``(T,)``, likewise.
            memory_key_padding_mask: ``(N, S)`` or ``(S,)``, likewise.
            tgt_is_causal, memory_is_causal: the mask of that name is the causal one.

        Raises:
            ShapeError, DTypeError, ArgumentError: the operands do not fit.
        """

        def attend_to_memory(x: Tensor) -> Tensor:
            attended = self.multihead_attn(
                x,
                memory,
                memory,
                key_padding_mask=memory_key_padding_mask,
                need_weights=False,
                attn_mask=memory_mask,
                is_causal=memory_is_causal,
            )[0]
            dropped: Tensor = self.dropout2(attended)
            return dropped

        x = self._added(
            tgt, self.norm1, lambda x: self._attend_to_itself(x, tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        )
        x = self._added(x, self.norm2, attend_to_memory)
        return self._added(x, self.norm3, lambda x: self.dropout3(self._feed_forward(x)))


def _copies(layer: Module, count: int) -> ModuleList:
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])


class TransformerEncoder(Module):
    """Several encoder layers, one after the other: copies of one, which start out equal as in PyTorch.

    Args:
        encoder_layer: what is copied.
        num_layers: how often.
        norm: a layer over the result.
        enable_nested_tensor, mask_check: are ignored, since there are no nested tensors. PyTorch, which has them, may
            put zeros where ``src_key_padding_mask`` hides a position, in eval mode without gradients.
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """Encodes ``src``; arguments as of :class:`TransformerEncoderLayer`.

        ``is_causal`` is taken from the caller alone: looking for a causal mask would need its values.
        """
        output = src
        for layer in self.layers:
            output = layer(
                output, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=bool(is_causal)
            )
        return output if self.norm is None else self.norm(output)


class TransformerDecoder(Module):
    """Several decoder layers, one after the other: copies of one, which start out equal as in PyTorch.

    Args:
        decoder_layer: what is copied.
        num_layers: how often.
        norm: a layer over the result.
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Decodes ``tgt`` over ``memory``; arguments as of :class:`TransformerDecoderLayer`."""
        output = tgt
        for layer in self.layers:
            output = layer(
                output,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=bool(tgt_is_causal),
                memory_is_causal=memory_is_causal,
            )
        return output if self.norm is None else self.norm(output)


class Transformer(Module):
    """Encoder and decoder of the paper, between embeddings and logits that are the user's.

    Args:
        d_model: features E.
        nhead: attention heads, a divisor of E.
        num_encoder_layers, num_decoder_layers: how many layers each has.
        dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias: as of
            :class:`TransformerEncoderLayer`.
        custom_encoder, custom_decoder: take the place of either.

    Raises:
        ArgumentError: E is no multiple of ``nhead``, or the activation is unknown.

    Example:
        >>> model = nn.Transformer(8, 2, 1, 1, 32)
        >>> model(un.ones(7, 3, 8), un.ones(5, 3, 8)).shape
        unified.Size([5, 3, 8])
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        place: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        named = _NAMES.get(activation, activation)
        options = (d_model, nhead, dim_feedforward, dropout, named, layer_norm_eps, batch_first, norm_first)

        def norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, **place)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*options, **place), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*options, **place), num_decoder_layers, norm()
        )
        for param in self.parameters():
            if param.ndim > 1:
                init.xavier_uniform_(param)
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Encodes ``src (S, N, E)`` and decodes ``tgt (T, N, E)`` over it: ``(T, N, E)``.

        With ``batch_first`` N comes first; both may lack it. Masks as of the layers.

        Raises:
            ShapeError: batches or features differ.
            DTypeError, ArgumentError: the operands do not fit.
        """
        batch = 0 if self.batch_first else 1
        if src.ndim == 3 and (tgt.ndim != 3 or src.shape[batch] != tgt.shape[batch]):
            raise ShapeError(f"the batch number of src {tuple(src.shape)} and tgt {tuple(tgt.shape)} must be equal")
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise ShapeError(
                f"the feature number of src {tuple(src.shape)} and tgt {tuple(tgt.shape)} must be equal to d_model "
                f"{self.d_model}"
            )
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        decoded: Tensor = self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )
        return decoded

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: DType | None = None) -> Tensor:
        """The causal mask ``(sz, sz)`` to add to scores: -inf above the diagonal, 0 elsewhere."""
        mask: Tensor = triu(full((sz, sz), -math.inf, dtype=dtype, device=device), 1)
        return mask

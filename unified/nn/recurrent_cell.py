"""Cells: one step of a recurrent layer."""

from __future__ import annotations

import math
from typing import Any

from unified._dtype import DType
from unified._tensor import Tensor
from unified.errors import ArgumentError, OperandError, ShapeError
from unified.nn import init
from unified.nn.functional.recurrent import gru_cell, lstm_cell, rnn_relu_cell, rnn_tanh_cell
from unified.nn.module import Module
from unified.nn.parameter import Parameter
from unified.ops.creation import empty


class RNNCellBase(Module):
    """What RNNCell, LSTMCell and GRUCell share: parameters under PyTorch's names.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state.
        bias: whether there are biases, two of them as in PyTorch.
        num_chunks: how many gates there are.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(empty(rows, hidden_size, device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within ``1 / sqrt(hidden_size)``, as in PyTorch."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for param in self.parameters():
            init.uniform_(param, -bound, bound)

    def _weights(self) -> tuple[Any, ...]:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def _operands(self, input: Tensor, given: list[Tensor] | None, states: int) -> list[Tensor]:
        """The input and the first states with a batch dimension, zeros where no states are given.

        Raises:
            ShapeError: one has more than 2 dimensions, or fewer than one.
            OperandError: a state is no Tensor.
        """
        name = type(self).__name__
        if input.ndim not in (1, 2):
            raise ShapeError(f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        for index, state in enumerate(given or ()):
            which = f"hx[{index}]" if states > 1 else "hidden"
            if not isinstance(state, Tensor):
                raise OperandError(f"{name}: {which} must be a Tensor, not {type(state).__name__}")
            if state.ndim not in (1, 2):
                raise ShapeError(f"{name}: Expected {which} to be 1D or 2D, got {state.ndim}D instead")
        if input.ndim == 1:
            input = input.unsqueeze(0)
            given = None if given is None else [state.unsqueeze(0) for state in given]
        return [input, *([input.new_zeros((input.shape[0], self.hidden_size))] * states if given is None else given)]

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        others = [] if self.bias is True else [f"bias={self.bias}"]
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            others.append(f"nonlinearity={self.nonlinearity}")
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *others])


class RNNCell(RNNCellBase):
    """``tanh(W_ih x + b_ih + W_hh h + b_hh)``: the next hidden state of :class:`RNN`.

    Args:
        nonlinearity: ``"tanh"`` or ``"relu"``.

    Example:
        >>> nn.RNNCell(4, 8)(un.ones(3, 4)).shape
        unified.Size([3, 8])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state of ``hx (N, hidden_size)``, zeros unless given, for ``input (N, input_size)``; N may lack.

        Raises:
            ShapeError: the operands do not fit.
            ArgumentError: the nonlinearity is unknown.
        """
        if self.nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(f"Unknown nonlinearity: {self.nonlinearity}")
        cell = rnn_tanh_cell if self.nonlinearity == "tanh" else rnn_relu_cell
        operands = self._operands(input, None if hx is None else [hx], 1)
        following: Tensor = cell(*operands, *self._weights())
        return following.squeeze(0) if input.ndim == 1 else following


class LSTMCell(RNNCellBase):
    """The next hidden state and cell of :class:`LSTM`.

    Example:
        >>> hidden, cell = nn.LSTMCell(4, 8)(un.ones(3, 4))
        >>> hidden.shape, cell.shape
        (unified.Size([3, 8]), unified.Size([3, 8]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The next pair of ``hx``, each ``(N, hidden_size)``, for ``input (N, input_size)``; N may lack.

        Raises:
            ShapeError, OperandError: the operands do not fit, or ``hx`` is no pair.
        """
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise OperandError(f"LSTMCell: hx must be a pair (h, c) of Tensors or None, not {type(hx).__name__}")
        input_, *states = self._operands(input, None if hx is None else list(hx), 2)
        hidden, cell = lstm_cell(input_, states, *self._weights())
        return (hidden.squeeze(0), cell.squeeze(0)) if input.ndim == 1 else (hidden, cell)


class GRUCell(RNNCellBase):
    """The next hidden state of :class:`GRU`.

    Example:
        >>> nn.GRUCell(4, 8)(un.ones(3, 4)).shape
        unified.Size([3, 8])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state of ``hx (N, hidden_size)``, zeros unless given, for ``input (N, input_size)``; N may lack.

        Raises:
            ShapeError: the operands do not fit.
        """
        operands = self._operands(input, None if hx is None else [hx], 1)
        following: Tensor = gru_cell(*operands, *self._weights())
        return following.squeeze(0) if input.ndim == 1 else following

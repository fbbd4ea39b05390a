"""Recurrent layers over whole sequences."""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar

from unified._dtype import DType
from unified._tensor import Tensor
from unified.errors import ArgumentError, OperandError, ShapeError
from unified.nn import functional as F
from unified.nn import init
from unified.nn.functional.recurrent import recurrent_layer
from unified.nn.module import Module
from unified.nn.parameter import Parameter
from unified.nn.utils.rnn import PackedSequence
from unified.ops.creation import empty
from unified.ops.shape import cat


def _is_int(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise OperandError(f"{name} should be of type int, got: {type(value).__name__}")


class RNNBase(Module):
    """What RNN, LSTM and GRU share: parameters under PyTorch's names, and the way through the layers.

    Args:
        mode: ``"LSTM"``, ``"GRU"``, ``"RNN_TANH"`` or ``"RNN_RELU"``.
        input_size: features of the input.
        hidden_size: features of the hidden state.
        num_layers: layers, each over the outputs of the one below.
        bias: whether there are biases, two of them as in PyTorch.
        batch_first: ``(N, L, features)`` instead of ``(L, N, features)``; states stay as they are.
        dropout: probability of zeroing an output of every layer but the last, while training.
        bidirectional: a second direction, whose outputs are joined to the first's.
        proj_size: features that an LSTM's hidden state is projected to; 0 for no projection.

    Raises:
        ArgumentError, OperandError: a size or probability is out of range or no number.
    """

    _GATES: ClassVar[dict[str, int]] = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        if mode not in self._GATES:
            raise ArgumentError(f"Unrecognized RNN mode: {mode}")
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ArgumentError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed, "
                f"not {dropout!r}"
            )
        for name, flag in (("bias", bias), ("batch_first", batch_first)):
            if not isinstance(flag, bool):
                raise OperandError(f"{name} should be of type bool, got: {type(flag).__name__}")
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            _is_int(name, size)
            if size <= 0:
                raise ArgumentError(f"{name} must be greater than zero")
        if proj_size < 0:
            raise ArgumentError("proj_size should be a positive integer or zero to disable projections")
        if proj_size >= hidden_size:
            raise ArgumentError("proj_size has to be smaller than hidden_size")
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=3,
            )
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._all_weights: list[list[str]] = []
        gates = self._GATES[mode] * hidden_size
        shown = proj_size or hidden_size
        for layer in range(num_layers):
            for suffix in ("", "_reverse")[: 1 + bidirectional]:
                features = shown * (1 + bidirectional) if layer else input_size
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (gates, features), "weight_hh": (gates, shown)}
                if bias:
                    shapes.update(bias_ih=(gates,), bias_hh=(gates,))
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                named = {f"{name}_l{layer}{suffix}": shape for name, shape in shapes.items()}
                for name, shape in named.items():
                    self.register_parameter(name, Parameter(empty(*shape, device=device, dtype=dtype)))
                self._all_weights.append(list(named))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within ``1 / sqrt(hidden_size)``, as in PyTorch."""
        bound = 1 / math.sqrt(self.hidden_size)
        for param in self.parameters():
            init.uniform_(param, -bound, bound)

    def flatten_parameters(self) -> None:
        """Does nothing: where parameters lie in memory is the backend's affair."""

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> tuple[Any, Any]:
        """The outputs of the last layer at every step, and the last state of every layer.

        Args:
            input: ``(L, N, input_size)``, ``(N, L, input_size)`` with ``batch_first``, ``(L, input_size)`` or packed.
            hx: the first states, ``(num_layers * directions, N, out)``, without N for no batch; zeros unless given.
                An LSTM takes a pair, the second being the cells ``(num_layers * directions, N, hidden_size)``.

        Returns:
            The outputs ``(L, N, directions * out)``, laid out (or packed) as the input, and the states as ``hx``.

        Raises:
            ShapeError, DTypeError, ArgumentError: the input or the states do not fit.
        """
        states = self._states(hx)
        if isinstance(input, PackedSequence):
            return self._packed(input, states)
        if input.ndim not in (2, 3):
            raise ShapeError(f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.ndim}D instead")
        batched = input.ndim == 3
        for state in states or ():
            if state.ndim != input.ndim:
                raise ShapeError(
                    f"For {'' if batched else 'un'}batched {input.ndim}-D input, hx should also be {input.ndim}-D "
                    f"but got {state.ndim}-D tensor"
                )
        steps: Tensor = input
        if not batched:
            steps = input.unsqueeze(1)
            states = None if states is None else [state.unsqueeze(1) for state in states]
        elif self.batch_first:
            steps = input.transpose(0, 1)
        output, last = self._through(steps, None, self._checked(steps, steps.shape[1], states))
        if not batched:
            return output.squeeze(1), self._given_back([state.squeeze(1) for state in last])
        return output.transpose(0, 1) if self.batch_first else output, self._given_back(last)

    def _packed(self, input: PackedSequence, states: list[Tensor] | None) -> tuple[PackedSequence, Any]:
        data, batch_sizes, order, back = input
        batch = input.batch
        if batch is None:  # a value of a compiled function
            batch = int(batch_sizes[0].item()) if states is None else states[0].shape[1]
        if states is not None and order is not None:
            states = [state.index_select(1, order) for state in states]
        if data.ndim != 2:
            raise ShapeError(f"input must have 2 dimensions, got {data.ndim}")
        output, last = self._through(data, batch_sizes, self._checked(data, batch, states))
        if back is not None:
            last = [state.index_select(1, back) for state in last]
        return input.with_data(output), self._given_back(last)

    def _states(self, hx: Any) -> list[Tensor] | None:
        """What was given as the first states, as a list."""
        if hx is None:
            return None
        if not isinstance(hx, Tensor):
            raise OperandError(f"{type(self).__name__}: hx must be a Tensor or None, not {type(hx).__name__}")
        return [hx]

    def _given_back(self, states: list[Tensor]) -> Any:
        """The last states as ``hx`` is given."""
        return states[0]

    def _shapes(self, batch: int) -> list[tuple[int, int, int]]:
        """Of the states."""
        return [(self.num_layers * (1 + self.bidirectional), batch, self.proj_size or self.hidden_size)]

    def _checked(self, input: Tensor, batch: int, states: list[Tensor] | None) -> list[Tensor]:
        """The first states, zeros unless given.

        Raises:
            ShapeError, ArgumentError: they or the input do not fit.
        """
        dtype = self.all_weights[0][0].dtype
        if input.dtype is not dtype:
            raise ArgumentError(  # a ValueError, as in PyTorch
                f"RNN input dtype ({input.dtype.name}) does not match weight dtype ({dtype.name}). Convert input: "
                f"input.to(un.{dtype.name}), or convert model: model.to(un.{input.dtype.name})"
            )
        if input.shape[-1] != self.input_size:
            raise ShapeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.shape[-1]}"
            )
        shapes = self._shapes(batch)
        if states is None:
            return [input.new_zeros(shape) for shape in shapes]
        for name, state, shape in zip(("hidden", "cell"), states, shapes, strict=False):
            if tuple(state.shape) != shape:
                raise ShapeError(f"{type(self).__name__}: Expected {name} size {shape}, got {tuple(state.shape)}")
        return states

    def _through(
        self, output: Tensor, batch_sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """The output of the last layer, and the last states of all."""
        directions = 1 + self.bidirectional
        mode, weights = self.mode.lower(), self.all_weights
        last: list[list[Tensor]] = [[] for _ in states]
        for layer in range(self.num_layers):
            if layer and self.dropout:
                output = F.dropout(output, self.dropout, self.training)
            first = layer * directions
            here = states
            if self.num_layers > 1:
                here = [state[first : first + directions] for state in states]
            matrices = [matrix for group in weights[first : first + directions] for matrix in group]
            output, *ends = recurrent_layer(output, here, matrices, batch_sizes, mode, self.bidirectional)
            for found, end in zip(last, ends, strict=True):
                found.append(end)
        return output, [found[0] if len(found) == 1 else cat(found) for found in last]

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        defaults = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0, "bidirectional": False
        }  # fmt: skip
        others = [f"{name}={getattr(self, name)}" for name, usual in defaults.items() if getattr(self, name) != usual]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *others])


class RNN(RNNBase):
    """``h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)`` over sequences; Elman (1990).

    Arguments and results as of :class:`RNNBase`; ``nonlinearity`` is ``"tanh"`` or ``"relu"``.

    Example:
        >>> output, last = nn.RNN(4, 8, num_layers=2)(un.ones(5, 3, 4))
        >>> output.shape, last.shape
        (unified.Size([5, 3, 8]), unified.Size([2, 3, 8]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: DType | None = None,
        proj_size: int = 0,
    ) -> None:
        if proj_size:
            raise ArgumentError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        options = (num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__(f"RNN_{nonlinearity.upper()}", input_size, hidden_size, *options)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory over sequences; Hochreiter and Schmidhuber (1997). Gates in the order i, f, g, o.

    Arguments and results as of :class:`RNNBase`; states are pairs of hidden state and cell.

    Example:
        >>> output, (hidden, cell) = nn.LSTM(4, 8, proj_size=2)(un.ones(5, 3, 4))
        >>> output.shape, hidden.shape, cell.shape
        (unified.Size([5, 3, 2]), unified.Size([1, 3, 2]), unified.Size([1, 3, 8]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        options = (num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype)
        super().__init__("LSTM", input_size, hidden_size, *options)

    def _states(self, hx: Any) -> list[Tensor] | None:
        if hx is None:
            return None
        if not isinstance(hx, (tuple, list)) or len(hx) != 2:
            raise OperandError(f"LSTM: hx must be a pair (h_0, c_0) of Tensors or None, not {type(hx).__name__}")
        return list(hx)

    def _given_back(self, states: list[Tensor]) -> tuple[Tensor, ...]:
        return tuple(states)

    def _shapes(self, batch: int) -> list[tuple[int, int, int]]:
        shapes = super()._shapes(batch)
        return [*shapes, (*shapes[0][:2], self.hidden_size)]


class GRU(RNNBase):
    """Gated recurrent units over sequences; Cho et al. (2014). Gates in the order r, z, n.

    Arguments and results as of :class:`RNNBase`.

    Example:
        >>> output, last = nn.GRU(4, 8, bidirectional=True)(un.ones(5, 3, 4))
        >>> output.shape, last.shape
        (unified.Size([5, 3, 16]), unified.Size([2, 3, 8]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: DType | None = None,
        proj_size: int = 0,
    ) -> None:
        if proj_size:
            raise ArgumentError("proj_size argument is only supported for LSTM, not RNN or GRU")
        options = (num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__("GRU", input_size, hidden_size, *options)

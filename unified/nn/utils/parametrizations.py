"""Ready-made parametrizations: orthogonal matrices, weight normalisation, spectral normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from unified._dtype import int32
from unified._tensor import Tensor
from unified.autograd import no_grad
from unified.errors import ArgumentError, IndexOutOfRangeError, ShapeError
from unified.nn.functional.distance import normalize
from unified.nn.module import Module
from unified.nn.utils.parametrize import register_parametrization
from unified.ops.contraction import vdot
from unified.ops.creation import eye
from unified.ops.factorization import geqrf, linalg_householder_product
from unified.ops.joining import cat
from unified.ops.reduction import linalg_vector_norm
from unified.ops.solve import linalg_solve, matrix_exp

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

_MAPS = ("matrix_exp", "cayley", "householder")


def _weight(name: str, module: Module, attribute: str) -> Tensor:
    weight = getattr(module, attribute, None)
    if not isinstance(weight, Tensor):
        raise ArgumentError(f"{name}: {type(module).__name__} has no parameter or buffer named {attribute!r}")
    return weight


def _signs_turned(factors: Tensor) -> Tensor:
    """The Q of a QR decomposition whose R has a diagonal that is not negative."""
    packed, tau = geqrf(factors)
    turned: Tensor = linalg_householder_product(packed, tau) * packed.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)
    return turned


def _is_orthogonal(matrix: Tensor) -> bool:
    rows, columns = matrix.shape[-2:]
    product = matrix.mH @ matrix
    identity = eye(columns, dtype=matrix.dtype, device=matrix.device)
    return bool(product.isclose(identity, atol=10.0 * rows * float(np.finfo(matrix.dtype.numpy).eps)).all())


class _Orthogonal(Module):
    """From any ``(..., n, k)`` to one with orthonormal columns, or rows where ``n < k``."""

    def __init__(self, weight: Tensor, orthogonal_map: str, *, use_trivialization: bool = True) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ArgumentError(
                "orthogonal: reflections do not parametrize all unitary matrices; use orthogonal_map='matrix_exp' or "
                "'cayley' for complex Tensors"
            )
        self.shape = tuple(weight.shape)
        self.orthogonal_map = orthogonal_map
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Tensor) -> Tensor:  # noqa: N803
        transposed = X.shape[-2] < X.shape[-1]
        tall = X.mT if transposed else X
        matrix = self._reflected(tall) if self.orthogonal_map == "householder" else self._turned(tall)
        if self.use_trivialization:
            matrix = self.base @ matrix
        return matrix.mT if transposed else matrix

    def _turned(self, tall: Tensor) -> Tensor:
        """The first columns of the matrix that the exponential, or Cayley's map, makes of a skew-Hermitian one."""
        rows, columns = tall.shape[-2:]
        lower = tall.tril()
        if rows != columns:
            lower = cat([lower, lower.new_zeros((*lower.shape[:-1], rows - columns))], -1)
        skew = lower - lower.mH
        if self.orthogonal_map == "matrix_exp":
            square = matrix_exp(skew)
        else:
            identity = eye(rows, dtype=skew.dtype, device=skew.device)
            square = linalg_solve(identity - 0.5 * skew, identity + 0.5 * skew)
        return square if rows == columns else square[..., :columns]

    def _reflected(self, tall: Tensor) -> Tensor:
        """The product of reflections in the columns below the diagonal, which itself holds their signs."""
        vectors = tall.tril(-1)
        tau = 2.0 / (1.0 + (vectors * vectors).sum(-2))
        signs = tall.detach().diagonal(dim1=-2, dim2=-1).to(int32).unsqueeze(-2)
        reflected: Tensor = linalg_householder_product(vectors, tau) * signs
        return reflected

    @no_grad()
    def right_inverse(self, Q: Tensor) -> Tensor:  # noqa: N803
        if tuple(Q.shape) != self.shape:
            raise ShapeError(
                f"orthogonal: expected a matrix or a batch of matrices of shape {self.shape}, not {tuple(Q.shape)}"
            )
        transposed = Q.shape[-2] < Q.shape[-1]
        tall = Q.mT if transposed else Q
        rows, columns = tall.shape[-2:]
        if not self.use_trivialization:
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    f"orthogonal: {self.orthogonal_map!r} has no inverse with use_trivialization=False, so the "
                    "weight cannot be assigned to"
                )
            packed, tau = geqrf(tall)
            diagonal = packed.diagonal(dim1=-2, dim2=-1)
            signs = diagonal.sign() * (1.0 - 2.0 * (tau == 0).to(tau.dtype))
            packed = packed.diagonal_scatter(signs, 0, -2, -1)
            unfinished: Tensor = packed.mT if transposed else packed
            return unfinished
        if rows != columns:
            drawn = tall.new_empty((*tall.shape[:-1], rows - columns)).normal_()
            self.base = _signs_turned(cat([tall, drawn], -1))
        else:
            self.base = tall.clone() if _is_orthogonal(tall) else _signs_turned(tall)
        minus = Q.new_full((*self.shape[:-2], min(self.shape[-2:])), -1.0)
        inverse: Tensor = Q.detach().zeros_like().diagonal_scatter(minus, 0, -2, -1)
        return inverse


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """Keeps a matrix, or each of a batch of them, orthogonal (unitary, if complex); returns ``module``.

    Of ``(n, k)`` with ``n >= k`` the columns are orthonormal, otherwise the rows.

    Args:
        module: the owner.
        name: the parameter.
        orthogonal_map: ``"matrix_exp"`` or ``"cayley"`` of a skew matrix, or ``"householder"``, a product of
            reflections. By default the first for square and complex matrices, and the last for others.
        use_trivialization: parametrize around the present value (Lezcano-Casado, NeurIPS 2019), so that the weight
            can be assigned to; costs one more matrix.

    Raises:
        ArgumentError: no such parameter, an unknown map, or reflections for a complex one.
        ShapeError: fewer than two dimensions.
    """
    weight = _weight("orthogonal", module, name)
    if weight.ndim < 2:
        raise ShapeError(f"orthogonal: expected a matrix or a batch of matrices, not {tuple(weight.shape)}")
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square or weight.is_complex() else "householder"
    if orthogonal_map not in _MAPS:
        raise ArgumentError(f"orthogonal: orthogonal_map must be one of {list(_MAPS)}, not {orthogonal_map!r}")
    parametrization = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    return register_parametrization(module, name, parametrization, unsafe=True)


def norm_except_dim(tensor: Tensor, dim: int) -> Tensor:
    """The 2-norms of the slices along ``dim``, ``(1, ..., n, ..., 1)``; of the whole, 0-d, for ``dim=-1``."""
    if dim == -1:
        return linalg_vector_norm(tensor)
    if not 0 <= dim < tensor.ndim:
        raise IndexOutOfRangeError(f"weight_norm: dim={dim} is out of range for shape {tuple(tensor.shape)}")
    others = tuple(d for d in range(tensor.ndim) if d != dim)
    return linalg_vector_norm(tensor, 2, others, keepdim=True) if others else tensor.abs()


class _WeightNorm(Module):
    """``g * v / |v|`` of a magnitude ``g`` and a direction ``v``."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / norm_except_dim(weight_v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Trains a weight's magnitude and direction apart (Salimans and Kingma, NeurIPS 2016); returns ``module``.

    ``parametrizations.<name>.original0`` is the magnitude, ``original1`` the direction, as in PyTorch's checkpoints.

    Args:
        module: the owner.
        name: the parameter.
        dim: the dimension with one magnitude for each index; None for one magnitude of all.

    Raises:
        ArgumentError: no such parameter.
        IndexOutOfRangeError: no such dimension.
    """
    _weight("weight_norm", module, name)
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


def leading_matrix(weight: Tensor, dim: int) -> Tensor:
    """``(n, rest)`` of a weight whose dimension ``dim`` has length ``n``."""
    if dim:
        weight = weight.permute(dim, *[d for d in range(weight.ndim) if d != dim])
    matrix: Tensor = weight.reshape(weight.shape[0], -1)
    return matrix


class _SpectralNorm(Module):
    """A weight divided by its largest singular value, which power iterations follow."""

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        ndim = weight.ndim
        if not -ndim <= dim < ndim:
            raise IndexOutOfRangeError(f"spectral_norm: dim={dim} is out of range for a weight of {ndim} dimensions")
        if n_power_iterations <= 0:
            raise ArgumentError(f"spectral_norm: n_power_iterations must be positive, not {n_power_iterations}")
        self.dim = dim % ndim
        self.eps = eps
        self.n_power_iterations = n_power_iterations
        if ndim > 1:
            with no_grad():
                matrix = leading_matrix(weight.detach(), self.dim)
                for key, length in zip(("_u", "_v"), matrix.shape, strict=True):
                    self.register_buffer(key, normalize(matrix.new_empty(length).normal_(), dim=0, eps=eps))
                self._iterate(matrix, 15)

    def _iterate(self, matrix: Tensor, count: int) -> None:
        with no_grad():
            for _ in range(count):
                self._u.copy_(normalize(matrix @ self._v, dim=0, eps=self.eps))
                self._v.copy_(normalize(matrix.mH @ self._u, dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = leading_matrix(weight, self.dim)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        return weight / vdot(self._u.clone(), matrix @ self._v.clone())

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divides a weight by its largest singular value (Miyato et al., ICLR 2018); returns ``module``.

    While in training mode each use of the weight moves the estimate on, kept in ``parametrizations.<name>.0._u`` and
    ``_v``, by power iterations.

    Args:
        module: the owner.
        name: the parameter.
        n_power_iterations: how many for each use.
        eps: the least norm that is divided by.
        dim: the dimension of outputs; 1 for transposed convolutions, else 0.

    Raises:
        ArgumentError: no such parameter, or no iterations.
        IndexOutOfRangeError: no such dimension.
    """
    weight = _weight("spectral_norm", module, name)
    parametrization = _SpectralNorm(weight, n_power_iterations, output_dim(module) if dim is None else dim, eps)
    return register_parametrization(module, name, parametrization)


def output_dim(module: Any) -> int:
    """The dimension of a layer's weight with its outputs."""
    return 1 if any(kind.__name__.startswith("ConvTranspose") for kind in type(module).__mro__) else 0

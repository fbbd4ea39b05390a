"""``gradcheck`` and ``gradgradcheck``: derivatives by autograd against central differences."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from unified._dtype import complex128, float64
from unified._tensor import Tensor
from unified.autograd.differences import (
    SEED,
    Array,
    Differences,
    Func,
    Numerical,
    host,
    outputs_of,
    requires_grad,
    tupled,
)
from unified.autograd.function import Function
from unified.autograd.functional import grad
from unified.errors import ArgumentError, GradcheckError

Part = Callable[[Array], Array]


class _Tolerances(NamedTuple):
    atol: float
    rtol: float
    nondet: float
    dtypes: bool
    """Whether a gradient's dtype must be its input's."""


def gradcheck(
    func: Func,
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether the gradients of ``func`` are its finite differences, for each input that requires grad.

    An element ``x`` is moved by ``eps`` to both sides (in place, so that a Module sees its parameters move, and put
    back afterwards); the quotient must be within ``atol + rtol * |quotient|`` of what :func:`unified.autograd.grad`
    gives. For a complex input the differences along the real and the imaginary axis are combined to the gradient
    ``dL/dx + i dL/dy`` of PyTorch's convention; a complex output is checked as two real ones, its real and its
    imaginary part. Where nothing that is returned requires grad, all differences must be zero.

    The defaults are those for float64 and complex128; other inputs are warned of. At a kink the two sides may differ.

    Args:
        func: of ``inputs``, returns a Tensor or a tuple of them.
        inputs: Tensors, and anything else that ``func`` takes, which is handed on.
        raise_exception: whether a failure raises; else the result is False.
        nondet_tol: how far two backward passes over one graph may be apart.
        check_undefined_grad: also that an output without a cotangent counts as one with zeros.
        check_grad_dtypes: also that each gradient has its input's dtype.
        check_batched_grad: also that ``grad(..., is_grads_batched=True)`` gives what a loop does.
        check_backward_ad: must stay True, and ``check_forward_ad`` False: forward mode is ``un.func.jvp``.
        fast_mode: compares a random projection ``v @ J @ u`` of each Jacobian instead of all its elements.
        masked: for sparse layouts, which there are none of.

    Example: ``gradcheck(un.sin, un.randn(3, dtype=un.float64, requires_grad=True))`` is ``True``.

    Raises:
        GradcheckError: a derivative is wrong; names the output, the input, both Jacobians and the largest difference.
        ArgumentError: no input requires grad, or an argument above is not taken.
    """
    _refuse("gradcheck", masked, check_forward_ad or check_batched_forward_grad, not check_backward_ad)
    check = _Check(Differences(func, inputs, eps), _Tolerances(atol, rtol, nondet_tol, check_grad_dtypes))
    try:
        check.jacobians(fast_mode)
        if check.places:
            if check_batched_grad:
                check.batched()
            check.zero_cotangents()
            if check_undefined_grad:
                check.undefined()
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Func,
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Whether the second derivatives of ``func`` are the finite differences of its first.

    It is :func:`gradcheck` of the function from ``inputs`` and ``grad_outputs`` to the gradients of the inputs.

    Args:
        grad_outputs: a cotangent for each output that requires grad; drawn uniformly from [-1, 1] if not given.
        gen_non_contig_grad_outputs: PyTorch's, for strides, which Tensors here do not have; changes nothing.
        check_rev_over_rev: must stay True, and ``check_fwd_over_rev`` False.

    The other arguments, and what is raised, are those of :func:`gradcheck`.
    """
    _refuse("gradgradcheck", masked, check_fwd_over_rev, not check_rev_over_rev)
    given = tupled(inputs)
    drawn = grad_outputs is None
    cotangents = _drawn_cotangents(_differentiable(func, given)) if drawn else tupled(grad_outputs)
    count = len(given)

    def gradients(*args: Any) -> tuple[Tensor, ...]:
        wanted = [value for value in args[:count] if requires_grad(value)]
        outputs = _differentiable(func, args[:count])
        found = grad(outputs, wanted, args[count:], create_graph=True, allow_unused=True)
        return tuple(gradient for gradient in found if gradient is not None)

    return gradcheck(
        gradients,
        (*given, *cotangents),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        fast_mode=fast_mode,
    )


def _refuse(name: str, masked: bool | None, forward: bool, no_backward: bool) -> None:
    if masked:
        raise ArgumentError(f"{name}: masked=True is for sparse layouts, which unified does not have; leave it out")
    if forward or no_backward:
        raise ArgumentError(
            f"{name} checks reverse mode alone; compare un.func.jvp(func, primals, tangents) with it yourself"
        )


def _differentiable(func: Func, args: Sequence[Any]) -> list[Tensor]:
    return [output for output in outputs_of(func, args) if output.requires_grad]


def _drawn_cotangents(outputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    generator = np.random.default_rng(SEED)
    drawn = []
    for output in outputs:
        values = generator.uniform(-1, 1, output.shape)
        if output.is_complex():
            values = values + 1j * generator.uniform(-1, 1, output.shape)
        drawn.append(output.new_tensor(values, requires_grad=True))
    return tuple(drawn)


class _Undefined(Function):
    """The identity, whose backward says that there is no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        copied: Tensor = x.clone()
        return copied

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> None:
        return None


def _real(values: Array) -> Array:
    return values.real


def _imaginary(values: Array) -> Array:
    return values.imag


class _Check:
    """One call of gradcheck."""

    def __init__(self, differences: Differences, tolerances: _Tolerances) -> None:
        self.differences = differences
        self.tolerances = tolerances
        self.wanted = differences.wanted
        if not self.wanted:
            raise ArgumentError("gradcheck needs at least one input that requires grad; call x.requires_grad_()")
        for position, tensor in self.wanted.items():
            if tensor.dtype not in (float64, complex128):
                warnings.warn(
                    f"Input #{position} requires grad and is {tensor.dtype.name}; the check will likely fail unless "
                    "it is float64 or complex128",
                    stacklevel=3,
                )
        outputs = differences.outputs()
        self.places = [i for i, output in enumerate(outputs) if output.requires_grad]
        """Which outputs are to be differentiated."""
        self.parts: list[tuple[Part, complex]] = [(_real, 1)]
        """Of what the outputs are real functions, and the cotangent that takes it."""
        if any(output.is_complex() for output in outputs):
            self.parts.append((_imaginary, 1j))

    def jacobians(self, fast: bool) -> None:
        """Compares all Jacobians, or a projection of each."""
        numerical = self.differences.projected() if fast else self.differences.complete()
        if not self.places:
            self._only_zeros(numerical)
            return
        outputs = self.differences.outputs()
        for place in self.places:
            for part, unit in self.parts:
                if unit != 1 and not outputs[place].is_complex():
                    continue
                if fast:
                    self._compare_projections(outputs, place, part, unit, numerical)
                else:
                    self._compare_elements(outputs, place, part, unit, numerical)

    def _only_zeros(self, numerical: Numerical) -> None:
        for position, columns in zip(self.wanted, numerical, strict=True):
            for place, axes in enumerate(columns):
                if any(axis.any() for axis in axes):
                    raise GradcheckError(
                        f"gradcheck: output {place} does not require grad, but changes with input {position}; the "
                        f"numerical Jacobian should be zero and is\n{_shown(axes[0])}"
                    )

    # ---- comparisons ------------------------------------------------------------------------------------------

    def _compare_elements(
        self,
        outputs: Sequence[Tensor],
        place: int,
        part: Part,
        unit: complex,
        numerical: Numerical,
    ) -> None:
        analytical = self._rows(outputs[place], unit)
        for position, a, columns in zip(self.wanted, analytical, numerical, strict=True):
            n = _gradient([part(axis) for axis in columns[place]])
            if not np.allclose(a, n, self.tolerances.rtol, self.tolerances.atol):
                raise GradcheckError(self._mismatch(place, position, unit, n, a))

    def _rows(self, output: Tensor, unit: complex) -> list[Array]:
        """For each input the Jacobian of an output, (elements of the input, elements of the output)."""
        tensors = list(self.wanted.values())
        length = output.numel()
        jacobians = [np.zeros((t.numel(), length), np.complex128 if t.is_complex() else np.float64) for t in tensors]
        for row in range(length):
            cotangent = np.zeros(length, np.complex128 if output.is_complex() else np.float64)
            cotangent[row] = unit
            for jacobian, gradient in zip(jacobians, self._pulled(output, cotangent), strict=True):
                jacobian[:, row] = gradient
        return jacobians

    def _pulled(self, output: Tensor, cotangent: Array) -> list[Array]:
        """The gradients of each input, flat, computed twice to see whether they are the same."""
        given = output.detach().new_tensor(cotangent.reshape(output.shape))
        tensors = list(self.wanted.values())
        twice = []
        for _ in range(2):
            found = grad(output, tensors, given, retain_graph=True, allow_unused=True)
            for (position, tensor), gradient in zip(self.wanted.items(), found, strict=True):
                if gradient is not None:
                    self._fits(position, tensor, gradient)
            pairs = zip(tensors, found, strict=True)
            twice.append([np.zeros(tensor.numel()) if g is None else host(g) for tensor, g in pairs])
        for position, one, other in zip(self.wanted, *twice, strict=True):
            apart = np.abs(one - other).max(initial=0.0)
            if apart > self.tolerances.nondet:
                raise GradcheckError(
                    f"gradcheck: two backward passes over one graph give gradients of input {position} that are "
                    f"{apart} apart; nondet_tol is {self.tolerances.nondet}"
                )
        return twice[0]

    def _fits(self, position: int, tensor: Tensor, gradient: Tensor) -> None:
        if gradient.shape != tensor.shape:
            raise GradcheckError(
                f"gradcheck: the gradient of input {position} has shape {tuple(gradient.shape)}, the input "
                f"{tuple(tensor.shape)}"
            )
        if self.tolerances.dtypes and gradient.dtype is not tensor.dtype:
            raise GradcheckError(
                f"gradcheck: the gradient of input {position} is {gradient.dtype.name}, the input {tensor.dtype.name}"
            )

    def _compare_projections(
        self,
        outputs: Sequence[Tensor],
        place: int,
        part: Part,
        unit: complex,
        numerical: Numerical,
    ) -> None:
        weights = self.differences.weights[place]
        pulled = self._pulled(outputs[place], weights * unit if unit != 1 else weights)
        for index, gradient in enumerate(pulled):
            directions = self.differences.directions[index]
            n = _gradient([part(axis) @ weights for axis in numerical[index][place]])
            a = _gradient([take(gradient) @ d for take, d in zip((_real, _imaginary), directions, strict=False)])
            atol = self.tolerances.atol * sum(d.sum() for d in directions) * weights.sum()
            if not np.allclose(a, n, self.tolerances.rtol, atol):
                raise GradcheckError(self._projection_mismatch(outputs, place, index, part, unit, (n, a)))

    def _projection_mismatch(
        self,
        outputs: Sequence[Tensor],
        place: int,
        index: int,
        part: Part,
        unit: complex,
        found: tuple[Any, Any],
    ) -> str:
        columns = self.differences.complete()[index]
        outputs = self.differences.outputs()
        n = _gradient([part(axis) for axis in columns[place]])
        a = self._rows(outputs[place], unit)[index]
        said = self._mismatch(place, list(self.wanted)[index], unit, n, a)
        said += f"\nprojected by fast_mode: numerical {found[0]}, analytical {found[1]}"
        if np.allclose(a, n, self.tolerances.rtol, self.tolerances.atol):
            said += "\nelement by element they agree within the tolerances: fast_mode=False would pass"
        return said

    def _mismatch(self, place: int, position: int, unit: complex, numerical: Array, analytical: Array) -> str:
        apart = np.abs(numerical - analytical)
        at = np.unravel_index(int(np.argmax(np.where(np.isnan(apart), np.inf, apart))), apart.shape)
        part = "" if len(self.parts) == 1 else f" (its {'real' if unit == 1 else 'imaginary'} part)"
        tensor = self.wanted[position]
        return (
            f"gradcheck: Jacobian mismatch for output {place}{part} with respect to input {position}, "
            f"{tensor.dtype.name} {tuple(tensor.shape)} on {tensor.backend}\n"
            f"numerical:\n{_shown(numerical)}\nanalytical:\n{_shown(analytical)}\n"
            f"largest difference {apart[at]}, of element {int(at[1])} of the output by element {int(at[0])} of the "
            f"input (rows are elements of the input)"
        )

    # ---- what else must hold ----------------------------------------------------------------------------------

    def batched(self) -> None:
        """Several cotangents at once give what they give one by one."""
        tensors = list(self.wanted.values())
        outputs = self.differences.outputs()
        for place in self.places:
            output = outputs[place]
            pair = [cotangent.detach() for cotangent in _drawn_cotangents([output, output])]
            single = [grad(output, tensors, c, retain_graph=True, allow_unused=True) for c in pair]
            stacked = output.detach().new_tensor(np.stack([host(c).reshape(output.shape) for c in pair]))
            many = grad(output, tensors, stacked, retain_graph=True, allow_unused=True, is_grads_batched=True)
            for position, batch, *alone in zip(self.wanted, many, *single, strict=True):
                if batch is None and alone[0] is None:
                    continue
                one_by_one = np.concatenate([np.zeros(0) if g is None else host(g) for g in alone])
                found = np.zeros(0) if batch is None else host(batch)
                if found.shape != one_by_one.shape or not np.allclose(found, one_by_one):
                    raise GradcheckError(
                        f"gradcheck: batched gradients of output {place} with respect to input {position} are not "
                        f"those of each cotangent\nbatched:\n{_shown(found)}\none by one:\n{_shown(one_by_one)}"
                    )

    def _roots(self) -> list[Tensor]:
        return [output for output in self.differences.outputs() if output.requires_grad]

    def zero_cotangents(self) -> None:
        """Gradients are multiples of the cotangents, and are like their inputs."""
        outputs = self._roots()
        found = self._zero_grads(outputs, outputs)
        for (position, tensor), gradient in zip(self.wanted.items(), found, strict=True):
            if gradient is None:
                continue
            if host(gradient).any():
                raise GradcheckError(
                    f"gradcheck: backward is not multiplied by grad_output: cotangents of zeros give input "
                    f"{position} the gradient\n{_shown(host(gradient))}"
                )
            self._fits(position, tensor, gradient)
            if gradient.dtype is not tensor.dtype:
                raise GradcheckError(
                    f"gradcheck: the gradient of input {position} is {gradient.dtype.name}, the input "
                    f"{tensor.dtype.name}"
                )

    def undefined(self) -> None:
        """An output whose cotangent is undefined counts as one with zeros: all of them, and each."""
        count = len(self.places)
        for missing in [set(range(count)), *([{i} for i in range(count)] if count > 1 else [])]:
            outputs = self._roots()
            roots = [_Undefined.apply(o) if i in missing else o for i, o in enumerate(outputs)]
            which = f"outputs {sorted(missing)}" if len(missing) > 1 else f"output {min(missing)}"
            try:
                found = self._zero_grads(roots, outputs)
            except Exception as error:
                raise GradcheckError(
                    f"gradcheck: backward does not take an undefined gradient of {which} for zeros, but raises "
                    f"{type(error).__name__}: {error}; handle None there, or pass check_undefined_grad=False"
                ) from error
            for position, gradient in zip(self.wanted, found, strict=True):
                if gradient is not None and host(gradient).any():
                    raise GradcheckError(
                        f"gradcheck: backward does not take an undefined gradient of {which} for zeros: input "
                        f"{position} gets\n{_shown(host(gradient))}\nor pass check_undefined_grad=False"
                    )

    def _zero_grads(self, roots: Sequence[Tensor], outputs: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        zeros = [output.detach().zeros_like() for output in outputs]
        return grad(roots, list(self.wanted.values()), zeros, allow_unused=True)


def _gradient(axes: Sequence[Any]) -> Any:
    """dL/dx + i dL/dy of the differences along the axes that an input has."""
    return axes[0] if len(axes) == 1 else axes[0] + 1j * axes[1]


def _shown(values: Array) -> str:
    return np.array2string(values, threshold=100, precision=6)

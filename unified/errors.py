"""Every error that the library raises on purpose.

Each class also derives from the built-in that a user would think of catching. A message names the op,
each operand's shape, dtype, backend and device, and the way out. The framework's own exception, where
there was one, is chained as ``__cause__``.
"""

from __future__ import annotations


class UnifiedError(Exception):
    """Root of the hierarchy: ``except un.errors.UnifiedError`` catches all that we raise on purpose."""


class BackendError(UnifiedError, RuntimeError):
    """A backend is unknown, missing or broken."""


class UnknownBackendError(BackendError, ValueError):
    """No backend is registered under that name."""


class MissingBackendError(BackendError, ImportError):
    """The backend is known, but its framework is not installed (or fails to import)."""


class DeviceError(UnifiedError, ValueError):
    """A device does not exist here, or its name cannot be read."""


class OpError(UnifiedError, RuntimeError):
    """An operation refused its operands."""


class ShapeError(OpError, ValueError):
    """Operand shapes do not fit the operation."""


class DTypeError(OpError, TypeError):
    """Operand dtypes do not fit the operation."""


class ArgumentError(OpError, ValueError):
    """An argument that is not a Tensor has a value the operation does not take."""


class OperandError(OpError, TypeError):
    """An argument is not the kind of object the operation takes."""


class IndexOutOfRangeError(OpError, IndexError):
    """An index lies outside its dimension."""


class BackendMismatchError(OpError, TypeError):
    """One operation was given tensors of two backends."""


class UninitializedError(OpError, ValueError):
    """A parameter or buffer was used whose shape waits for a Module's first input."""


class UnsupportedOpError(OpError, NotImplementedError):
    """The backend has no native for the operation and it has no composite."""


class AutogradError(UnifiedError, RuntimeError):
    """A backward pass was asked for something it cannot do."""


class FreedGraphError(AutogradError):
    """A second backward went through a graph whose saved values were released by the first."""


class AnomalyError(AutogradError):
    """Within ``detect_anomaly``, a backward pass made NaN."""


class GradcheckError(AutogradError):
    """``gradcheck`` found a derivative that is not what finite differences say."""


class InPlaceLeafError(AutogradError):
    """A leaf that requires grad was written in place while gradients were being recorded."""


class FunctionTransformError(UnifiedError, RuntimeError):
    """A function cannot be transformed as ``unified.func`` was asked to, or its values were taken out of it."""


class SymbolicTensorError(UnifiedError, TypeError):
    """A Tensor that stands for what a ``un.Model`` will compute was asked for what it does not have."""


class ControlFlowError(UnifiedError, TypeError):
    """A branch or a loop's body returned what does not fit the other branches or the loop's carry."""


class CompileError(UnifiedError, RuntimeError):
    """A function could not be turned into one static program."""


class TracedValueError(CompileError, TypeError):
    """Python asked for the value of a Tensor while ``un.compile`` was tracing."""


class DynamicLengthError(CompileError, TypeError):
    """A function does with a dynamic length, or with a dimension of one, what no program for all lengths can do."""


class LeakedTensorError(CompileError):
    """A Tensor made inside a compiled function was kept outside of it."""


class CheckError(UnifiedError, AssertionError):
    """The condition of an ``un.debug.check`` did not hold."""


class NonFiniteError(UnifiedError, FloatingPointError):
    """Within ``un.debug.nan_check``, an op made NaN or infinity."""


class StateDictError(UnifiedError, RuntimeError, KeyError):
    """A state dict does not fit the module it is loaded into."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class MissingToolError(UnifiedError, ImportError):
    """A package or program that one function needs, and the library itself does not, is not installed."""


class CheckpointError(UnifiedError, ValueError):
    """A file is damaged, incomplete, of an unknown format, or holds what is never loaded."""

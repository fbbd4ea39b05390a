"""The static path: one function, traced once per signature, one program of the framework's compiler."""

from unified.compile.function import CompiledFunction, compile
from unified.compile.lowered import Compiled, Lowered, TensorSpec
from unified.compile.mode import disable_compile

__all__ = ["Compiled", "CompiledFunction", "Lowered", "TensorSpec", "compile", "disable_compile"]

"""The static path: one function, traced once per signature, one program of the framework's compiler."""

from unified.compile.function import CompiledFunction, compile
from unified.compile.mode import disable_compile

__all__ = ["CompiledFunction", "compile", "disable_compile"]

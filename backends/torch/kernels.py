"""Inductor's C++ kernels for the CPU, many in one source.

Inductor runs the C++ compiler once a kernel, and nearly all of such a run is its start: of 0.48 s of CPU, 0.28 read
the header and 0.06 link. So the kernels of a program are put into one source, each in a namespace with inductor's
Python binding of its own, and are loaded from one library. On a machine of many cores there are several sources.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from typing import NamedTuple

from unified.backends.torch.lowering import inductor

_FEWEST, _MOST = 8, 48
"""How many kernels are worth a source, and how many are in one at most."""


class _Kernel(NamedTuple):
    """One that is not compiled yet."""

    argument_types: list
    source: str


@contextlib.contextmanager
def together():
    """Within, what inductor compiles has its kernels in few sources. Another thread's may or may not have."""
    module = inductor("async_compile")
    module.AsyncCompile = _compiler()  # which the program's code imports when it is loaded
    try:
        yield
    finally:
        module.AsyncCompile = _compiler().__base__


@functools.cache
def _compiler():
    """Inductor's own, which takes a kernel down and compiles when it is told to wait for all of them."""
    original, threads = inductor("async_compile").AsyncCompile, inductor("async_compile").get_compile_threads

    class Together(original):
        def cpp_pybinding(self, argtypes, source_code):
            return _Kernel(argtypes, source_code)

        def wait(self, scope):
            names = [name for name, value in scope.items() if isinstance(value, _Kernel)]
            size = min(_MOST, max(_FEWEST, math.ceil(len(names) / threads())))
            batches = [names[start : start + size] for start in range(0, len(names), size)]
            submit = self.submit if threads() > 1 else None
            loads = [_load([scope[name] for name in batch], submit) for batch in batches]
            for batch, load in zip(batches, loads, strict=True):
                try:
                    kernels = load()
                except inductor("exc").CppCompileError:  # of names that meet, or for want of memory
                    kernels = [original.cpp_pybinding(self, *scope[name]) for name in batch]
                scope.update(zip(batch, kernels, strict=True))
            super().wait(scope)

    return Together


def _load(kernels, submit):
    """Starts compiling; the function that waits for it and gives the kernels as Python functions."""
    caches = [_cache(number) for number in range(len(kernels))]
    compiled = caches[0].load_async(_joined(kernels, caches), "cpu", submit_fn=submit)

    def load():
        library = compiled()
        modules = [cache._load_library_inner(library.__file__, library.key) for cache in caches]
        return [getattr(module, cache.entry_function) for module, cache in zip(modules, caches, strict=True)]

    return load


@functools.cache
def _cache(number):
    """Inductor's loader of a kernel that has a number."""
    cache = inductor("codecache").CppPythonBindingsCodeCache
    return type("NumberedKernel", (cache,), {"entry_function": f"kernel_{number}"})


def _joined(kernels, caches):
    """One source. Every kernel is called ``kernel`` in its own."""
    parts = []
    for kernel, cache in zip(kernels, caches, strict=True):
        types = [each.replace("const ", "") for each in kernel.argument_types]
        arguments = ", ".join(f"parse_arg<{each}>(args, {place})" for place, each in enumerate(types))
        binding = cache.suffix_template.format(
            arg_len=len(types),
            call_entry_func=cache.call_entry_function.format(arguments),
            entry_func=cache.entry_function,
            extra_parse_arg=cache.extra_parse_arg,
        )
        name = cache.entry_function
        parts.append(
            f"#define kernel {name}\nnamespace {name}_alone {{\n{kernel.source}\n{binding}\n}}\n#undef kernel"
        )
    text = "\n".join(parts)
    included = dict.fromkeys(line.strip() for line in _INCLUDE.findall(text))  # outside of any namespace
    return "\n".join(["#define PY_SSIZE_T_CLEAN", *included, _INCLUDE.sub("", text)])


_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include\b.*$", re.MULTILINE)

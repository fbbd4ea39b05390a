"""A program for JAX before it runs: its text, what XLA says of its costs, and the executable, kept between processes.

JAX's own persistent cache is one switch for the whole process, and whoever compiles first fixes its folder. So ours
keeps serialised executables itself, by the public ``jax.experimental.serialize_executable``; other people's JAX code
in the process is not touched. Where the user has set ``jax_compilation_cache_dir``, theirs serves.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import platform as host
import time
from pathlib import Path

import jax
from jax.experimental import serialize_executable
from jax.extend import core

from unified.backends.jax.dtype import WIDE, enable_x64, is_wide
from unified.backends.jax.dtype import wide as any_wide
from unified.backends.jax.layout import improvable, improved
from unified.backends.protocol import cache, errors

_WORTH_KEEPING = 0.1
"""Seconds of compiling from which an executable is kept: loading one takes a few hundredths."""

_FROM_THE_KERNEL = 32 * 2**20
"""Bytes from which glibc's malloc takes each piece fresh from the kernel, which is a page fault every 4 KiB.

XLA on the CPU asks malloc for a program's temporary memory at each call.
"""

_FOR_LESS_MEMORY = {
    "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
    "xla_cpu_copy_insertion_use_region_analysis": True,
}
"""Options of XLA's CPU compiler for an order of steps that needs less memory, of many programs but not of all."""

_SLICES = {"tpu": "v5e:2x2"}
"""For which hardware to compile where none is attached: the smallest slice of the TPU that Colab lends."""


def lower(function, leaves, donated, kept, platform=None):
    """Traces ``function`` for these arguments, tensors or ``jax.ShapeDtypeStruct``."""
    groups = (leaves, donated, kept)
    wide = any(is_wide(native) for group in groups for native in group)
    jitted = jax.jit(function, donate_argnums=(1,))
    specs = groups if platform is None else [[_spec(native) for native in group] for group in groups]
    with enable_x64(wide):
        traced = jitted.trace(*specs)
    wide = wide or (any_wide.used and _computes_wide(traced.jaxpr))
    with enable_x64(wide):  # some primitives are lowered by tracing them
        if platform is not None:
            lowered = traced.lower(lowering_platforms=(platform,))
            return Lowering(jitted, traced, lowered, wide, (function, specs, platform))
        if jax.default_backend() == "cpu" and improvable(traced.jaxpr.jaxpr):
            jitted = jax.jit(_improved(traced.jaxpr), donate_argnums=(1,))
            traced = jitted.trace(*groups)
        return Lowering(jitted, traced, traced.lower(), wide)


def _computes_wide(value):
    """Whether a program has 64-bit results within, of operands that have 32."""
    if isinstance(value, core.ClosedJaxpr):
        value = value.jaxpr
    if isinstance(value, core.Jaxpr):
        return any(
            any(getattr(result.aval, "dtype", None) in WIDE for result in equation.outvars)
            or _computes_wide(list(equation.params.values()))
            for equation in value.eqns
        )
    return isinstance(value, (list, tuple)) and any(map(_computes_wide, value))


def _improved(closed):
    run = improved(closed)
    return lambda leaves, donated, kept: run(*leaves, *donated, *kept)


def _spec(native):
    return jax.ShapeDtypeStruct(native.shape, native.dtype, weak_type=native.weak_type)


class Lowering:
    """Satisfies ``protocol.Lowering``."""

    def __init__(self, jitted, traced, lowered, wide, elsewhere=None) -> None:
        self._jitted, self._traced, self._lowered = jitted, traced, lowered
        self._wide, self._elsewhere = wide, elsewhere

    def text(self, stage):
        if stage == "graph":
            return str(self._traced.jaxpr)
        return self._lowered.as_text() if stage == "lowered" else self._compiled().as_text()

    def compile(self):
        if self._elsewhere is None:
            return Executable(self._compiled(), self._wide, self._jitted)
        return Elsewhere(self._compiled(), self._elsewhere[-1])

    def _compiled(self):
        with enable_x64(self._wide):
            return load_or_compile(self._lowered) if self._elsewhere is None else _compile_for(*self._elsewhere)


def _compile_for(function, specs, platform):
    """The executable for hardware that is not here, by that platform's own compiler."""
    if platform in {device.platform for device in jax.devices()}:
        return jax.jit(function, donate_argnums=(1,)).lower(*specs).compile()
    if platform not in _SLICES:
        raise errors.CompileError(
            f"there is no {platform} here, and XLA compiles for one ahead of time on the machine that has it alone; "
            "the program lowered for it is in .as_text()"
        )
    try:
        topologies = importlib.import_module("jax.experimental.topologies")
        device = topologies.get_topology_desc(_SLICES[platform], platform=platform).devices[0]
    except Exception as error:
        raise errors.CompileError(
            f"there is no {platform} here, and compiling for one needs its compiler: pip install libtpu"
        ) from error
    place = jax.sharding.SingleDeviceSharding(device)
    return jax.jit(function, donate_argnums=(1,), in_shardings=place, out_shardings=place).lower(*specs).compile()


class Executable:
    """Satisfies ``protocol.Executable``."""

    def __init__(self, compiled, wide, jitted) -> None:
        self._compiled, self._wide, self._jitted = compiled, wide, jitted

    def __call__(self, leaves, donated, kept):
        if self._wide:
            with enable_x64(True):
                return self._run(leaves, donated, kept)
        return self._run(leaves, donated, kept)

    def _run(self, leaves, donated, kept):
        try:
            return self._compiled(leaves, donated, kept)
        except (TypeError, ValueError):  # before it runs: for tensors elsewhere than where it was compiled for
            return self._jitted(leaves, donated, kept)

    def cost(self):
        return costs(self._compiled)

    def memory(self):
        return memory(self._compiled)


class Elsewhere(Executable):
    """An executable for hardware that is not here: to look at."""

    def __init__(self, compiled, platform) -> None:
        super().__init__(compiled, False, None)
        self._platform = platform

    def __call__(self, leaves, donated, kept):
        raise errors.CompileError(f"this program was compiled for a {self._platform}, and there is none here")


def costs(compiled):
    """What XLA counts: floating point operations, and bytes read or written by its fused loops."""
    found = compiled.cost_analysis() or {}
    return {"flops": found.get("flops"), "bytes accessed": found.get("bytes accessed")}


def memory(compiled):
    """What XLA's buffer assignment reserves, in bytes."""
    found = compiled.memory_analysis()
    if found is None:
        return {}
    sizes = {
        "arguments": found.argument_size_in_bytes,
        "outputs": found.output_size_in_bytes,
        "aliased": found.alias_size_in_bytes,
        "temporary": found.temp_size_in_bytes,
    }
    return {**sizes, "peak": sum(sizes.values()) - 2 * sizes["aliased"]}


def load_or_compile(lowered):
    """The executable of ``lowered``, from an earlier process if one has kept it."""
    if not cache.enabled() or jax.config.jax_compilation_cache_dir is not None:
        return _compile(lowered)
    key = hashlib.sha256((_environment() + lowered.as_text()).encode()).hexdigest()
    data = cache.read("jax", key)
    if data is not None:
        try:
            return serialize_executable.deserialize_and_load(data, lowered.in_tree, lowered.out_tree)
        except Exception:  # a damaged file, or one that this jaxlib cannot read after all
            cache.drop("jax", key)
    started = time.perf_counter()
    compiled = _compile(lowered)
    if time.perf_counter() - started >= _WORTH_KEEPING:
        try:
            data, _, _ = serialize_executable.serialize(compiled)
        except Exception:  # a runtime that cannot serialise
            return compiled
        cache.write("jax", key, data)
    return compiled


def _compile(lowered):
    """The executable; on the CPU, where it needs much memory, the better of two orders of its steps."""
    compiled = lowered.compile()
    if jax.default_backend() != "cpu" or _temporary(compiled) < _FROM_THE_KERNEL:
        return compiled
    flags = os.environ.get("XLA_FLAGS", "")  # what the user has set there stands
    chosen = {name: value for name, value in _FOR_LESS_MEMORY.items() if name not in flags}
    try:
        other = lowered.compile(chosen)
    except jax.errors.JaxRuntimeError:  # an XLA that does not know one of them
        return compiled
    return min(compiled, other, key=_temporary)


def _temporary(compiled):
    return memory(compiled).get("temporary", 0)


@functools.lru_cache
def _environment():
    """All that an executable depends on beside its program."""
    device = jax.devices()[0]
    words = [jax.__version__, jax.lib.__version__, device.platform, device.device_kind]
    words += [device.client.platform_version, host.machine(), _processor(), str(_FOR_LESS_MEMORY)]
    return "\n".join([*words, *(os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS"))])


def _processor():
    """What the CPU can do, which XLA compiles for."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return host.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))

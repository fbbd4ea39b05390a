"""The documentation: the generated index is that of the code, and every public op is documented."""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch

_DOCS = Path(__file__).parents[1] / "docs"


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("index_ops", _DOCS / "index_ops.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


INDEX = _generator()


def test_the_index_of_ops_is_that_of_the_code() -> None:
    assert INDEX.PAGE.read_text() == INDEX.page(), "run: python docs/index_ops.py"


@pytest.mark.parametrize("namespace", INDEX.NAMESPACES)
def test_every_public_op_is_documented(namespace: str) -> None:
    ops = INDEX.public(namespace)
    assert ops
    for name, function in ops.items():
        summary = (function.__doc__ or "").strip()
        assert len(summary) > 10, f"un.{namespace}.{name} has no docstring"
        assert not re.search(r"\bTODO\b|\bFIXME\b", summary), name


@pytest.mark.parametrize("namespace", INDEX.NAMESPACES)
def test_what_pytorch_writes_into_out_refuses_it(namespace: str) -> None:
    """Every op that takes ``out=`` in PyTorch has it as an argument here, whose only use is to refuse it clearly."""
    theirs = functools.reduce(getattr, filter(None, namespace.split(".")), torch)
    for name, function in INDEX.public(namespace).items():
        if "out (Tensor" in (getattr(getattr(theirs, name, None), "__doc__", None) or ""):
            assert "out" in (function.__kwdefaults__ or {}), f"un.{namespace}.{name}"

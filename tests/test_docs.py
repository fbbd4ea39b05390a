"""The documentation: the generated index is that of the code, and every public op is documented."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

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

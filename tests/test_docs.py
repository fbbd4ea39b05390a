"""The documentation: the generated index is that of the code, and every public op is documented."""

from __future__ import annotations

import doctest
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


_CHECKER = doctest.OutputChecker()
_BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


_EACH = [pytest.param("torch", marks=pytest.mark.full), "jax", "tensorflow"]
"""Inductor takes a minute for a page."""


@pytest.mark.parametrize("backend", _EACH, indirect=True)
def test_the_page_about_compile_prints_what_it_says(
    backend: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its blocks of Python are one program; a block of text after one is what that has printed."""
    page = (_DOCS / "compile.md").read_text()
    names: dict[str, object] = {}
    blocks = _BLOCK.findall(page)
    assert len(blocks) >= 14
    for number, (kind, text) in enumerate(blocks):
        if kind == "text":
            printed = capsys.readouterr().out
            assert _CHECKER.check_output(text, printed, doctest.ELLIPSIS), printed
        else:
            file = tmp_path / f"block{number}.py"
            file.write_text(text)
            exec(compile(text, str(file), "exec"), names)


def test_the_page_about_compile_is_linked() -> None:
    assert "(docs/compile.md)" in (_DOCS.parent / "README.md").read_text().splitlines()[-2]

"""``unified cache``: what compiled programs are kept, where, and how to forget them."""

from __future__ import annotations

from typing import Annotated

import typer

from unified import _cache


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Forget everything that is kept.")] = False,
) -> None:
    """Show where compiled programs are kept between processes, and how much."""
    path = _cache.root()
    if clear:
        freed = _cache.clear()
        typer.echo(f"{path}: forgot {_scaled(freed)}")
        return
    state = "on" if _cache.enabled() else "off (UNIFIED_CACHE)"
    typer.echo(f"{path}: {state}")
    found = _cache.usage()
    for part in found:
        typer.echo(f"  {part.part}: {part.entries} entries, {_scaled(part.size)}")
    typer.echo(f"  total: {sum(part.entries for part in found)} entries, {_scaled(sum(part.size for part in found))}")


def _scaled(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"

"""``functional_call`` where older code looks for it."""

from unified.func.modules import functional_call

__all__ = ["functional_call"]

"""Looking at values where there are none yet: prints, checks and breakpoints that hold in compiled functions too."""

from unified.debug.effects import breakpoint_if, check, print
from unified.debug.finite import nan_check

__all__ = ["breakpoint_if", "check", "nan_check", "print"]

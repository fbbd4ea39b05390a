"""Control flow by values: plain Python eagerly, the compiler's own constructs inside ``un.compile``."""

from unified.control_flow.conditional import cond, switch
from unified.control_flow.loops import fori_loop, while_loop
from unified.control_flow.scans import associative_scan, map, scan

__all__ = ["associative_scan", "cond", "fori_loop", "map", "scan", "switch", "while_loop"]

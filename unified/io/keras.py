"""x"""
from typing import Any
read_weights: Any = None
read_model: Any = None

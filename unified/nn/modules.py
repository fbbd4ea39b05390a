"""PyTorch's place for what concerns every Module: ``nn.modules.module.register_module_forward_hook`` and the like."""

from unified.nn import module

__all__ = ["module"]

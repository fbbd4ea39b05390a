"""PyTorch's place for what concerns every Module: ``nn.modules.module.register_module_forward_hook`` and the like."""

from unified.nn import lazy, module

__all__ = ["lazy", "module"]

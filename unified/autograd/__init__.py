"""Gradient modes and gradients of eager Tensors."""

from unified.autograd.functional import backward, grad
from unified.autograd.grad_mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled

__all__ = ["backward", "enable_grad", "grad", "is_grad_enabled", "no_grad", "set_grad_enabled"]

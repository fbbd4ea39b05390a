"""Gradient modes and gradients of eager Tensors."""

from unified.autograd.checkpoint import checkpoint
from unified.autograd.custom_op import custom_op
from unified.autograd.function import Function, FunctionCtx, once_differentiable
from unified.autograd.functional import backward, grad
from unified.autograd.grad_mode import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_detect_anomaly,
    set_grad_enabled,
)
from unified.autograd.gradcheck import gradcheck, gradgradcheck
from unified.autograd.gradient_tape import GradientTape

__all__ = [
    "Function",
    "FunctionCtx",
    "GradientTape",
    "backward",
    "checkpoint",
    "custom_op",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "once_differentiable",
    "set_detect_anomaly",
    "set_grad_enabled",
]

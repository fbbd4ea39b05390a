"""Around Modules, by the names of ``torch.nn.utils``: clipping gradients, other parametrizations, pruning, fusion.

Memory formats are left out on purpose: layout is the backend's own affair here.
"""

from unified.nn.utils import parametrizations, parametrize, prune, rnn, stateless
from unified.nn.utils.clip_grad import clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from unified.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from unified.nn.utils.fusion import (
    fuse_conv_bn_eval,
    fuse_conv_bn_weights,
    fuse_linear_bn_eval,
    fuse_linear_bn_weights,
)  # fmt: skip
from unified.nn.utils.init import skip_init
from unified.nn.utils.spectral_norm import remove_spectral_norm, spectral_norm
from unified.nn.utils.weight_norm import remove_weight_norm, weight_norm

__all__ = [
    "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "fuse_conv_bn_eval", "fuse_conv_bn_weights",
    "fuse_linear_bn_eval", "fuse_linear_bn_weights", "get_total_norm", "parameters_to_vector", "parametrizations",
    "parametrize", "prune", "remove_spectral_norm", "remove_weight_norm", "rnn", "skip_init", "spectral_norm",
    "stateless", "vector_to_parameters", "weight_norm",
]  # fmt: skip

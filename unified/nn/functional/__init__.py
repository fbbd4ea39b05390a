"""Functions of neural networks under PyTorch's names: ``import unified.nn.functional as F``."""

from unified.nn.functional.activation import (
    celu,
    elu,
    gelu,
    glu,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    relu6,
    selu,
    silu,
    softplus,
    softsign,
    tanhshrink,
)  # fmt: skip
from unified.nn.functional.attention import scaled_dot_product_attention
from unified.nn.functional.convolution import conv1d, conv2d, conv3d
from unified.nn.functional.distance import cosine_similarity, normalize, pairwise_distance, pdist
from unified.nn.functional.dropout import dropout, dropout2d
from unified.nn.functional.embedding import embedding, one_hot
from unified.nn.functional.linear import linear
from unified.nn.functional.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)  # fmt: skip
from unified.nn.functional.normalization import (
    batch_norm,
    group_norm,
    layer_norm,
    rms_norm,
)  # fmt: skip
from unified.nn.functional.pooling import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from unified.ops.elementwise import relu, sigmoid, tanh
from unified.ops.reduction import log_softmax, softmax
from unified.ops.shape import pad

__all__ = [
    "adaptive_avg_pool2d", "avg_pool2d", "batch_norm", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "celu", "conv1d", "conv2d", "conv3d", "cosine_similarity", "cross_entropy", "dropout", "dropout2d", "elu",
    "embedding", "gelu", "glu", "group_norm", "hardsigmoid", "hardswish", "hardtanh", "huber_loss", "kl_div",
    "l1_loss", "layer_norm", "leaky_relu", "linear", "log_softmax", "logsigmoid", "max_pool2d", "mish", "mse_loss",
    "nll_loss", "normalize", "one_hot", "pad", "pairwise_distance", "pdist", "relu", "relu6", "rms_norm",
    "scaled_dot_product_attention", "selu", "sigmoid", "silu", "smooth_l1_loss", "softmax", "softplus", "softsign",
    "tanh", "tanhshrink",
]  # fmt: skip

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
from unified.nn.functional.dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
    rrelu,
)  # fmt: skip
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
    cosine_similarity,
    group_norm,
    layer_norm,
    normalize,
    rms_norm,
)  # fmt: skip
from unified.nn.functional.pooling import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from unified.ops.elementwise import relu, sigmoid, tanh
from unified.ops.reduction import log_softmax, softmax, softmin
from unified.ops.shape import pad

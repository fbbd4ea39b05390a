"""Functions of neural networks under PyTorch's names: ``import unified.nn.functional as F``."""

from unified.nn.functional.activation import (
    celu,
    celu_,
    elu,
    elu_,
    gelu,
    glu,
    gumbel_softmax,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hardtanh_,
    leaky_relu,
    leaky_relu_,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    relu_,
    selu,
    selu_,
    silu,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
    threshold_,
)  # fmt: skip
from unified.nn.functional.adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)  # fmt: skip
from unified.nn.functional.attention import multi_head_attention_forward, scaled_dot_product_attention
from unified.nn.functional.convolution import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)  # fmt: skip
from unified.nn.functional.ctc import ctc_loss
from unified.nn.functional.distance import cosine_similarity, normalize, pairwise_distance, pdist
from unified.nn.functional.dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
    rrelu,
    rrelu_,
)  # fmt: skip
from unified.nn.functional.embedding import embedding, embedding_bag, one_hot
from unified.nn.functional.folding import fold, unfold
from unified.nn.functional.fractional_pooling import fractional_max_pool2d, fractional_max_pool3d
from unified.nn.functional.linear import bilinear, linear
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
from unified.nn.functional.loss_margin import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)  # fmt: skip
from unified.nn.functional.loss_probability import gaussian_nll_loss, linear_cross_entropy, poisson_nll_loss
from unified.nn.functional.normalization import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    rms_norm,
)  # fmt: skip
from unified.nn.functional.pooling import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)  # fmt: skip
from unified.nn.functional.resampling import interpolate, upsample, upsample_bilinear, upsample_nearest
from unified.nn.functional.sampling import affine_grid, grid_sample
from unified.nn.functional.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from unified.nn.functional.unpooling import max_unpool1d, max_unpool2d, max_unpool3d
from unified.ops.elementwise import sigmoid, tanh
from unified.ops.reduction import log_softmax, softmax
from unified.ops.shape import pad

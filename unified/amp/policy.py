"""Which ops autocast computes in 16 bits, which in 32, and which in the widest dtype of their operands.

PyTorch has a list for each kind of device. Ours is one for all, so that a model computes the same everywhere: what
either of PyTorch's lists for CUDA and for the CPU computes in 32 bits is computed so, but for pooling and padding,
which lose nothing in 16. Ops that are on no list take their operands as they come.

Source: https://docs.pytorch.org/docs/stable/amp.html#autocast-op-reference and the lists in PyTorch's
``aten/src/ATen/autocast_mode.h``.
"""

from __future__ import annotations

from enum import Enum


class Policy(Enum):
    """What an op's floating operands become; those of 64 bits stay as they are."""

    LOWER = "lower"
    FLOAT32 = "float32"
    WIDEST = "widest"


_LOWER = """
    addbmm addmm addmv addr attention baddbmm bmm conv1d conv2d conv3d conv_transpose1d conv_transpose2d
    conv_transpose3d einsum gru_cell linalg_multi_dot linalg_vecdot linear lstm_cell matmul mm mv prelu
    recurrent_layer rnn_relu_cell rnn_tanh_cell
"""

_FLOAT32 = """
    acos asin cosh cumprod cumsum erfinv exp expm1 log log10 log1p log2 pow prod reciprocal rsqrt sinh sum tan nansum
    logsumexp logcumsumexp log_softmax softmax softmin softplus renorm
    masked_cumprod masked_cumsum masked_log_softmax masked_logsumexp masked_norm masked_normalize masked_prod
    masked_softmax masked_softmin masked_sum
    cdist cosine_similarity dist normalize pairwise_distance pdist
    group_norm layer_norm native_group_norm native_layer_norm rms_norm
    bernoulli_losses binary_cross_entropy binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy
    ctc_losses ctc_mean distance_margin gaussian_nll_loss hinge_embedding_loss huber_loss kl_div l1_loss
    margin_ranking_loss mse_loss multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss nll_loss
    poisson_nll_loss smooth_l1_loss soft_margin_loss triplet_margin_loss
    fft_c2c fft_c2r fft_r2c istft stft
    nanquantile polar quantile trace view_as_complex
    cholesky_inverse cholesky_solve geqrf linalg_cholesky_ex linalg_cond linalg_det linalg_eig linalg_eigh
    linalg_eigvals linalg_eigvalsh linalg_householder_product linalg_inv_ex linalg_ldl_factor_ex linalg_ldl_solve
    linalg_lstsq linalg_lu linalg_lu_factor_ex linalg_lu_solve linalg_matrix_norm linalg_matrix_power
    linalg_matrix_rank linalg_pinv linalg_qr linalg_slogdet linalg_solve_ex linalg_solve_triangular linalg_svd
    linalg_svdvals linalg_tensorinv linalg_tensorsolve linalg_vector_norm logdet matrix_exp ormqr svd svd_lowrank
    thin_svd triangular_solve
"""

_WIDEST = "addcdiv addcmul atan2 bilinear cat dot grid_sample index_put linalg_cross scatter_add stack tensordot vdot"

POLICIES: dict[str, Policy] = {
    name: policy
    for policy, names in ((Policy.LOWER, _LOWER), (Policy.FLOAT32, _FLOAT32), (Policy.WIDEST, _WIDEST))
    for name in names.split()
}
"""By the op's name. An op that derives from another, as a pullback does, has no policy: its dtypes are settled."""

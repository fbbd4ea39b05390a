"""Masked reductions and normalizations, by the names of ``torch.masked``."""

from __future__ import annotations

from unified.ops.masked import masked_amax as amax
from unified.ops.masked import masked_amin as amin
from unified.ops.masked import masked_argmax as argmax
from unified.ops.masked import masked_argmin as argmin
from unified.ops.masked import masked_cumprod as cumprod
from unified.ops.masked import masked_cumsum as cumsum
from unified.ops.masked import masked_log_softmax as log_softmax
from unified.ops.masked import masked_logaddexp as logaddexp
from unified.ops.masked import masked_logsumexp as logsumexp
from unified.ops.masked import masked_mean as mean
from unified.ops.masked import masked_median as median
from unified.ops.masked import masked_norm as norm
from unified.ops.masked import masked_normalize as normalize
from unified.ops.masked import masked_prod as prod
from unified.ops.masked import masked_softmax as softmax
from unified.ops.masked import masked_softmin as softmin
from unified.ops.masked import masked_std as std
from unified.ops.masked import masked_sum as sum
from unified.ops.masked import masked_var as var

__all__ = [
    "amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logaddexp", "logsumexp", "mean",
    "median", "norm", "normalize", "prod", "softmax", "softmin", "std", "sum", "var",
]  # fmt: skip

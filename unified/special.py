"""Special functions, by the names of ``torch.special``."""

from __future__ import annotations

from unified.ops.arithmetic import exp2
from unified.ops.elementwise import expm1, log1p, round

__all__ = ["exp2", "expm1", "log1p", "round"]

from unified.ops.elementwise import erf
from unified.ops.elementwise import sigmoid as expit
from unified.ops.reduction import log_softmax, logsumexp, softmax
from unified.ops.special import (
    digamma,
    erfc,
    erfinv,
    i0,
    logit,
    polygamma,
    sinc,
    xlogy,
)  # fmt: skip
from unified.ops.special import digamma as psi
from unified.ops.special import igamma as gammainc
from unified.ops.special import igammac as gammaincc
from unified.ops.special import lgamma as gammaln
from unified.ops.special import mvlgamma as multigammaln
from unified.ops.special import special_entr as entr
from unified.ops.special import special_erfcx as erfcx
from unified.ops.special import special_i0e as i0e
from unified.ops.special import special_i1 as i1
from unified.ops.special import special_i1e as i1e
from unified.ops.special import special_log_ndtr as log_ndtr
from unified.ops.special import special_ndtr as ndtr
from unified.ops.special import special_ndtri as ndtri
from unified.ops.special import special_xlog1py as xlog1py
from unified.ops.special import special_zeta as zeta

__all__ = [
    "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "expit", "expm1", "gammainc", "gammaincc", "gammaln",
    "i0", "i0e", "i1", "i1e", "log1p", "log_ndtr", "log_softmax", "logit", "logsumexp", "multigammaln", "ndtr",
    "ndtri", "polygamma", "psi", "round", "sinc", "softmax", "xlog1py", "xlogy", "zeta",
]  # fmt: skip

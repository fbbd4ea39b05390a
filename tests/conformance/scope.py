"""Which names of PyTorch's op database are in scope: all but these, each with its reason."""

from __future__ import annotations

import fnmatch

_VALUE_SEMANTICS = "an alias of memory by strides, or a change of a buffer's size: value semantics have neither"
_UNINITIALISED = "uninitialised memory: it exists, but has no values to compare"
_POLYNOMIAL = "an orthogonal polynomial or a Bessel or Airy function, which neither JAX nor TensorFlow has"
_KERNEL = "PyTorch's name for one of its own kernels, no public function of its documentation"
_SPARSE = "sparse layouts, which XLA does not have"
_JITERATOR = "CUDA source code compiled at run time"

OUT_OF_SCOPE: dict[str, str] = {
    "sparse.*": _SPARSE,
    "to_sparse": _SPARSE,
    "as_strided*": _VALUE_SEMANTICS,
    "resize_": _VALUE_SEMANTICS,
    "resize_as_": _VALUE_SEMANTICS,
    "jiterator_*": _JITERATOR,
    "torch.ops.aten.*": _KERNEL,
    "torch._scaled_mm*": _KERNEL,
    "_softmax_backward_data": _KERNEL,
    "_native_batch_norm_legit": _KERNEL,
    "_batch_norm_with_update": _KERNEL,
    "_upsample_bilinear2d_aa": _KERNEL,
    "_unsafe_masked_index*": _KERNEL,
    "_segment_reduce": _KERNEL,
    "_chunk_cat": _KERNEL,
    "max_pool2d_with_indices_backward": _KERNEL,
    "native_dropout_backward": _KERNEL,
    "slice": _KERNEL,
    "empty*": _UNINITIALISED,
    "new_empty*": _UNINITIALISED,
    "special.airy_ai": _POLYNOMIAL,
    "special.*bessel_[jyik]*": _POLYNOMIAL,
    "special.*chebyshev*": _POLYNOMIAL,
    "special.hermite*": _POLYNOMIAL,
    "special.laguerre*": _POLYNOMIAL,
    "special.legendre*": _POLYNOMIAL,
}


def why_out_of_scope(name: str) -> str | None:
    """The reason why a name of the op database is not compared, or None where it is."""
    return next((reason for pattern, reason in OUT_OF_SCOPE.items() if fnmatch.fnmatchcase(name, pattern)), None)

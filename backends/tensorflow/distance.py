"""Norms of matrices and distances on TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from unified.backends.protocol import Natives

natives = Natives()


@natives.having("program", "unjitted")
def singular_values(matrices):
    return tf.linalg.svd(matrices, compute_uv=False)

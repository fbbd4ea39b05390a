"""scikit-learn's handwritten digits (UCI, 1,797 images of 8x8), split once for all backends."""

from __future__ import annotations

import numpy as np
from sklearn import datasets

from unified.cli.training import Digits

_TEST = 357  # leaves 1,440 images to train on
_SPLIT_SEED = 0


def load_digits() -> Digits:
    """Images scaled to [0, 1] as float32 ``(N, 1, 8, 8)``, labels as int32 ``(N,)``, in a fixed random split."""
    raw = datasets.load_digits()
    images = (raw.images / 16).astype(np.float32)[:, None]
    labels = raw.target.astype(np.int32)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(images))
    test, train = order[:_TEST], order[_TEST:]
    return Digits(images[train], labels[train], images[test], labels[test])

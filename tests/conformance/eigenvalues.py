"""Eigenvalues of general matrices, which no library promises in an order, compared in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import unified as un

NAMES = frozenset({"linalg.eig", "linalg.eigvals"})
_DIGITS = 3
"""Conjugate pairs have equal real parts: rounding must not decide which of them comes first."""


def in_order(process: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``process`` of eigenvalues, or of (eigenvalues, eigenvectors), sorted by real and then imaginary part."""

    def sorted_first(result: Any) -> Any:
        values = result[0] if isinstance(result, tuple) else result
        library: Any = torch if isinstance(values, torch.Tensor) else un
        order = np.argsort(np.round(np.asarray(values.detach().numpy()), _DIGITS), -1, kind="stable")

        def taken(tensor: Any, index: np.ndarray) -> Any:
            whole = np.array(np.broadcast_to(index, tuple(tensor.shape)))
            return library.take_along_dim(tensor, library.from_numpy(whole), -1)

        values = taken(values, order)
        return process((values, taken(result[1], order[..., None, :])) if isinstance(result, tuple) else values)

    return sorted_first

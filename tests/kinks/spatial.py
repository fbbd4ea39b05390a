"""Kinks of pooling, resampling, sampling and padding."""

from __future__ import annotations

from typing import Any

from tests.kinks.probe import INF, NAN, TIES, Probe

_IMAGE = [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]
_EQUAL = [[[2.0, 2.0, 1.0, 2.0], [2.0, 2.0, 2.0, 0.0], [1.0, 2.0, 2.0, 2.0], [2.0, 0.0, 2.0, 2.0]]]
_SQUARES = [[[1.0, 4.0, 9.0, 16.0], [2.0, 5.0, 10.0, 17.0], [4.0, 7.0, 12.0, 19.0], [8.0, 11.0, 16.0, 23.0]]]
_EDGES = [[[-1.0, 0.0], [1.0, 0.0], [-0.75, 0.0], [0.75, 0.25], [0.0, 0.0], [-2.0, 0.5], [2.0, -0.5], [3.0, 0.25]]]
_SOLID = [[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]]


def _marked(found: Any) -> Any:
    """Maxima times one more than their indices: both count."""
    return found[0] * (found[1] + 1)


def _sampled(mode: str, padding_mode: str, align_corners: bool) -> Any:
    def sample(L: Any, x: Any, grid: Any) -> Any:
        return L.nn.functional.grid_sample(x[None], grid[None], mode, padding_mode, align_corners)

    return sample


def _resized(**options: Any) -> Any:
    return lambda L, x: L.nn.functional.interpolate(x[None], **options)


PROBES: list[Probe] = [
    ("max_pool1d, ties", lambda L, x: L.nn.functional.max_pool1d(x[None], 3, 1), [TIES]),
    ("max_pool2d, ties", lambda L, x: L.nn.functional.max_pool2d(x, 2), [_EQUAL]),
    ("max_pool2d, ties under overlap and padding", lambda L, x: L.nn.functional.max_pool2d(x, 3, 1, 1), [_EQUAL]),
    ("max_pool2d, ties of a dilated window", lambda L, x: L.nn.functional.max_pool2d(x, 2, 1, 1, 2), [_EQUAL]),
    (
        "max_pool2d, indices of ties over the edge",
        lambda L, x: _marked(L.nn.functional.max_pool2d(x, 3, 2, 1, ceil_mode=True, return_indices=True)),
        [_EQUAL],
    ),
    ("max_pool3d, ties", lambda L, x: L.nn.functional.max_pool3d(x[None], (1, 2, 2), 1), [_EQUAL]),
    ("max_pool2d, one nan", lambda L, x: L.nn.functional.max_pool2d(x, 2, 1), [[[[1.0, NAN, 3.0], [4.0, 9.0, 2.0]]]]),
    ("max_pool2d, two nan", lambda L, x: L.nn.functional.max_pool2d(x, 2), [[[[NAN, 1.0], [NAN, 2.0]]]]),
    (
        "max_pool2d, -inf in padding",
        lambda L, x: L.nn.functional.max_pool2d(x, 3, 1, 1, return_indices=True)[0],
        [[[[-INF, -INF], [-INF, -INF]]]],
    ),
    (
        "adaptive_max_pool2d, ties",
        lambda L, x: _marked(L.nn.functional.adaptive_max_pool2d(x, 3, return_indices=True)),
        [_EQUAL],
    ),
    (
        "adaptive_max_pool1d, nan",
        lambda L, x: L.nn.functional.adaptive_max_pool1d(x[None], 2),
        [[1.0, NAN, NAN, 2]],
    ),
    (
        "adaptive_avg_pool1d, inf",
        lambda L, x: L.nn.functional.adaptive_avg_pool1d(x[None], 3),
        [[1.0, INF, 3.0, 2]],
    ),
    ("avg_pool1d, inf beside", lambda L, x: L.nn.functional.avg_pool1d(x[None], 2, 1), [[INF, 1.0, 2.0, -INF, NAN]]),
    (
        "avg_pool2d, padding uncounted",
        lambda L, x: L.nn.functional.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        [_EQUAL],
    ),
    ("lp_pool1d at 0", lambda L, x: L.nn.functional.lp_pool1d(x[None], 2, 2), [[3.0, 4.0, 0.0, 1.0]]),
    ("lp_pool2d at inf, ties", lambda L, x: L.nn.functional.lp_pool2d(x, INF, 2), [[[[-2.0, 2.0], [1.0, -2.0]]]]),
    (
        "max_unpool1d, one place twice",
        lambda L, x: L.nn.functional.max_unpool1d(x[None], L.tensor([[1, 1]]), 2, 1),
        [[5.0, 5.0]],
    ),
    ("interpolate, inf beside", _resized(size=6, mode="linear"), [[[1.0, 2.0, INF]]]),
    ("interpolate bicubic, nan beside", _resized(scale_factor=2, mode="bicubic"), [[[[1.0] * 5, [NAN] + [2.0] * 4]]]),
    ("interpolate nearest, ties", _resized(size=(4, 5)), [_IMAGE]),
    ("interpolate nearest-exact, ties", _resized(size=(2, 6), mode="nearest-exact"), [_IMAGE]),
    ("interpolate to one", _resized(size=(1, 1), mode="bilinear", align_corners=True), [_IMAGE]),
    ("interpolate antialiased", _resized(size=(2, 2), mode="bicubic", antialias=True), [_IMAGE]),
    *[
        (f"grid_sample {mode}, {padding}, {aligned} at edges", _sampled(mode, padding, aligned), [image, _EDGES])
        for mode in ("bilinear", "bicubic")
        for padding in ("zeros", "border", "reflection")
        for aligned, image in ((False, _SQUARES), (True, _IMAGE))
    ],
    ("grid_sample nearest, between two", _sampled("nearest", "zeros", True), [_IMAGE, [[[0.5, 0.5], [-0.5, 1.0]]]]),
    (
        "grid_sample of a solid at edges",
        _sampled("bilinear", "reflection", False),
        [_SOLID, [[[[-1.0, 0.0, 0.5], [0.5, 1.0, -0.5], [2.0, -3.0, 0.0]]]]],
    ),
    ("pad reflect", lambda L, x: L.nn.functional.pad(x[None], (2, 1), "reflect"), [[1.0, INF, 3.0]]),
    ("pad circular and crop", lambda L, x: L.nn.functional.pad(x[None], (-1, 2), "circular"), [[1.0, 2.0, NAN]]),
    ("fold over itself", lambda L, x: L.nn.functional.fold(L.nn.functional.unfold(x, 2), (3, 3), 2), [_IMAGE]),
]

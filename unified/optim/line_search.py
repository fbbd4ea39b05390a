"""A line search along a direction until the strong Wolfe conditions hold, as PyTorch's LBFGS does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from unified._tensor import Tensor


class Point(NamedTuple):
    """What is known at one distance along the direction."""

    step: Any
    """The distance, a float or a 0-d Tensor."""
    loss: float
    grad: Tensor
    """The flat gradient ``(n,)``."""
    slope: Tensor
    """Its product with the direction, 0-d."""


def strong_wolfe(
    evaluate: Callable[[Any], Point], start: Point, step: Any, reach: Tensor, tolerance_change: float, limit: int
) -> tuple[Point, int]:
    """A point with sufficient decrease (``c1 = 1e-4``) and a flat slope (``c2 = 0.9``), or the best that was found.

    Nocedal and Wright, Numerical Optimization (2006), algorithms 3.5 and 3.6; cubic interpolation, equation 3.59.

    Args:
        evaluate: the point at a distance.
        start: the point at distance 0.
        step: the first distance to try.
        reach: largest absolute element of the direction; a bracket that moves nothing further than
            ``tolerance_change`` ends the search.
        limit: how many evaluations may follow the first one.

    Returns:
        The point, and the number of evaluations.
    """
    before, now = start, evaluate(step)
    evaluations = 1
    while evaluations <= limit:
        if _insufficient(now, start) or (evaluations > 2 and now.loss >= before.loss) or (
            not _flat(now, start) and now.slope >= 0
        ):  # fmt: skip
            bracket = [before, now]
            break
        if _flat(now, start):
            return now, evaluations
        bounds = (now.step + 0.01 * (now.step - before.step), now.step * 10)
        before, now = now, evaluate(_cubic_minimum(before, now, bounds))
        evaluations += 1
    else:
        bracket = [start, now]
    low = 0 if bracket[0].loss <= bracket[1].loss else 1
    stalled = False
    while evaluations <= limit:
        one, two = bracket[0].step, bracket[1].step
        if abs(two - one) * reach < tolerance_change:
            break
        trial, stalled = _off_the_edges(_cubic_minimum(bracket[0], bracket[1]), min(one, two), max(one, two), stalled)
        now = evaluate(trial)
        evaluations += 1
        if _insufficient(now, start) or now.loss >= bracket[low].loss:
            bracket[1 - low] = now
            low = 0 if bracket[0].loss <= bracket[1].loss else 1
            continue
        if _flat(now, start):
            return now, evaluations
        if now.slope * (bracket[1 - low].step - bracket[low].step) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = now
    return bracket[low], evaluations


def _insufficient(now: Point, start: Point) -> bool:
    return bool(now.loss > start.loss + 1e-4 * now.step * start.slope)


def _flat(now: Point, start: Point) -> bool:
    return bool(now.slope.abs() <= -0.9 * start.slope)


def _off_the_edges(trial: Any, least: Any, most: Any, stalled: bool) -> tuple[Any, bool]:
    """The trial, a tenth of the bracket away from an edge that two in a row came near, or that one reached."""
    margin = 0.1 * (most - least)
    if not min(most - trial, trial - least) < margin:
        return trial, False
    if not (stalled or trial >= most or trial <= least):
        return trial, True
    return (most - margin if abs(trial - most) < abs(trial - least) else least + margin), False


def _cubic_minimum(one: Point, two: Point, bounds: tuple[Any, Any] | None = None) -> Any:
    """Where the cubic through two points with their slopes is least, within ``bounds`` (else between the points)."""
    lower, upper = (one, two) if one.step <= two.step else (two, one)
    least, most = (lower.step, upper.step) if bounds is None else bounds
    mixed = one.slope + two.slope - 3 * (one.loss - two.loss) / (one.step - two.step)
    square = mixed**2 - one.slope * two.slope
    if not square >= 0:
        return (least + most) / 2.0
    root = square.sqrt()
    share = (upper.slope + root - mixed) / (upper.slope - lower.slope + 2 * root)
    return min(max(upper.step - (upper.step - lower.step) * share, least), most)

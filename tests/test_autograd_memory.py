"""What is still held as backward goes, in bytes, against native PyTorch's own curve.

Sampled by a hook on every layer's output, see ``tests/benchmarks/memory.py``. No wall-clock, no allocator: the bytes
of tensors that something refers to, which repeat exactly.
"""

from __future__ import annotations

import functools

import pytest

from tests.benchmarks.memory import Curve, Shape, native, ours

SHAPE = Shape(layers=20, batch=1024, width=16)
HIDDEN = SHAPE.batch * SHAPE.width * 4
"""Bytes of one layer's output."""
PEAK = 1.1
"""The project's bound on the ratio to PyTorch's peak."""

curve_of = functools.cache(functools.partial(ours, activation="relu", shape=SHAPE))


@pytest.fixture(scope="module")
def reference() -> Curve:
    """Native PyTorch's, which keeps each ReLU's output, once for the ReLU and the next layer together."""
    curve = native("relu", SHAPE)
    assert curve.saved == pytest.approx(SHAPE.layers * HIDDEN, rel=0.01)
    return curve


def test_what_a_layer_saved_is_released_when_backward_is_through_it(backend: str) -> None:
    """Every step frees one hidden value; two are in flight, and each layer has left the gradients of its weights."""
    curve = curve_of(backend)
    gradients = 4 * SHAPE.width * (SHAPE.width + 1)
    assert len(curve.samples) == SHAPE.layers
    for done, held in enumerate(curve.samples):
        assert held <= (SHAPE.layers - done + 2) * HIDDEN + done * gradients


def test_the_peak_is_that_of_pytorch(backend: str, reference: Curve) -> None:
    curve = curve_of(backend)
    assert curve.saved <= PEAK * reference.saved
    assert curve.peak <= PEAK * reference.peak


def test_the_whole_curve_stays_near_pytorchs(backend: str, reference: Curve) -> None:
    """At no layer more than two hidden values above it: the cotangents that the walk hands on."""
    curve = curve_of(backend)
    for held, theirs in zip(curve.samples, reference.samples, strict=True):
        assert held <= theirs + 2 * HIDDEN


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_an_op_that_pytorch_keeps_the_result_of_keeps_it_here(backend: str, activation: str) -> None:
    curve, theirs = ours(backend, activation, SHAPE), native(activation, SHAPE)
    assert curve.peak <= PEAK * theirs.peak
    assert curve.samples[-1] <= theirs.samples[-1] + 2 * HIDDEN


def test_a_retained_graph_is_not_released(backend: str) -> None:
    """The measure sees what it should: with ``retain_graph`` nothing falls."""
    curve = ours(backend, "relu", SHAPE, retain_graph=True)
    assert min(curve.samples) >= curve.saved

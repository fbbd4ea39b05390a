"""Probes of activations, losses, normalisations and look-up tables."""

from __future__ import annotations

from tests.kinks.probe import INF, NAN, ZEROS, Probe

EDGES = [-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0]
HUGE = [-200.0, 200.0, 0.0]

PROBES: list[Probe] = [
    ("leaky_relu at 0", lambda L, x: L.nn.functional.leaky_relu(x, 0.1), [ZEROS]),
    ("elu, extremes", lambda L, x: L.nn.functional.elu(x), [[*HUGE, NAN]]),
    ("selu, extremes", lambda L, x: L.nn.functional.selu(x), [HUGE]),
    ("celu, extremes", lambda L, x: L.nn.functional.celu(x, 2.0), [HUGE]),
    ("prelu at 0", lambda L, x, w: L.nn.functional.prelu(x, w), [ZEROS, [0.25]]),
    ("hardtanh at its bounds", lambda L, x: L.nn.functional.hardtanh(x), [[*EDGES, NAN]]),
    ("relu6 at its bounds", lambda L, x: L.nn.functional.relu6(x), [EDGES]),
    ("hardsigmoid at its bounds", lambda L, x: L.nn.functional.hardsigmoid(x), [EDGES]),
    ("hardswish at its bounds", lambda L, x: L.nn.functional.hardswish(x), [EDGES]),
    ("hardshrink at its bounds", lambda L, x: L.nn.functional.hardshrink(x), [[*EDGES, NAN]]),
    ("softshrink at its bounds", lambda L, x: L.nn.functional.softshrink(x), [[*EDGES, NAN]]),
    ("threshold at its bound", lambda L, x: L.nn.functional.threshold(x, 0.5, 9.0), [[*EDGES, NAN]]),
    ("softplus, extremes", lambda L, x: L.nn.functional.softplus(x), [HUGE]),
    ("logsigmoid, extremes", lambda L, x: L.nn.functional.logsigmoid(x), [HUGE]),
    ("mish, extremes", lambda L, x: L.nn.functional.mish(x), [HUGE]),
    ("silu, extremes", lambda L, x: L.nn.functional.silu(x), [HUGE]),
    ("gelu, extremes", lambda L, x: L.nn.functional.gelu(x), [HUGE]),
    ("l1_loss at equal", lambda L, x, y: L.nn.functional.l1_loss(x, y), [[1.0, 2.0], [1.0, 3.0]]),
    ("smooth_l1_loss at beta", lambda L, x, y: L.nn.functional.smooth_l1_loss(x, y), [[0.0, 1.0, 2.0], [0.0] * 3]),
    ("huber_loss at delta", lambda L, x, y: L.nn.functional.huber_loss(x, y), [[0.0, 1.0, 2.0], [0.0] * 3]),
    (
        "binary_cross_entropy at 0 and 1",
        lambda L, x, y: L.nn.functional.binary_cross_entropy(x, y.detach()) + 0 * y.sum(),
        [[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]],
    ),
    (
        "binary_cross_entropy_with_logits, extremes",
        lambda L, x, y: L.nn.functional.binary_cross_entropy_with_logits(x, y),
        [[-200.0, 200.0, 0.0, 200.0], [1.0, 1.0, 0.5, 0.0]],
    ),
    (
        "hinge_embedding_loss at the margin",
        lambda L, x: L.nn.functional.hinge_embedding_loss(x, x.detach() * 0 - 1),
        [[0.0, 1.0, 2.0]],
    ),
    (
        "margin_ranking_loss at the margin",
        lambda L, x, y: L.nn.functional.margin_ranking_loss(x, y, x.detach() * 0 + 1, 1.0),
        [[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]],
    ),
    (
        "cosine_embedding_loss of zeros",
        lambda L, x, y: L.nn.functional.cosine_embedding_loss(x, y, x.detach().sum(1) * 0 + 1),
        [[[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]],
    ),
    ("triplet_margin_loss of equals", lambda L, x: L.nn.functional.triplet_margin_loss(x, x, x), [[[1.0, 2.0]]]),
    (
        "gaussian_nll_loss below eps",
        lambda L, x, v: L.nn.functional.gaussian_nll_loss(x, x.detach() + 1, v),
        [[0.0, 1.0], [0.0, 1.0]],
    ),
    (
        "poisson_nll_loss, full, target 1",
        lambda L, x: L.nn.functional.poisson_nll_loss(x, x.detach(), full=True),
        [[0.0, 1.0, 2.0]],
    ),
    ("kl_div, target 0", lambda L, x: L.nn.functional.kl_div(x, x.detach() * 0, reduction="sum"), [[-1.0, -2.0]]),
    ("layer_norm of a constant", lambda L, x: L.nn.functional.layer_norm(x, (2,)), [[[2.0, 2.0]]]),
    ("rms_norm of zeros", lambda L, x: L.nn.functional.rms_norm(x, (2,)), [[[0.0, 0.0]]]),
    (
        "scaled_dot_product_attention that may see nothing",
        lambda L, q, m: L.nn.functional.scaled_dot_product_attention(q, q, q, m.detach() - INF) + 0 * m.sum(),
        [[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]],
    ),
]

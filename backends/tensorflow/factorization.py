"""Factorizations of matrices on TensorFlow.

Its own kernels, where it has them, under PyTorch's rules for gradients; those that TensorFlow brings are partial (no
wide QR, no SVD whose vectors it could not divide by). XLA has no kernel for most of them: they run as plain graphs.
"""

# ruff: noqa: N803, N806 - matrices have the capital letters of PyTorch's signatures
from __future__ import annotations

import math

import tensorflow as tf

from unified.backends.protocol import Natives

natives = Natives()
adjoint = tf.linalg.adjoint

natives(conjugate_transpose=adjoint)


def differentiable(forward, backward):
    """``forward`` of one matrix with the gradient ``backward(matrix, outputs, cotangents)``.

    ``outputs`` come from a call of the result itself, so that a second derivative follows the same rule. The graph's
    optimizer merges the two factorizations.
    """

    @tf.custom_gradient
    def function(A):
        def gradient(*cotangents):
            return backward(A, function(A), cotangents)

        return forward(A), gradient

    return function


def instead(value, computed):
    """``value`` with the gradient of ``computed``, which equals it up to rounding."""

    @tf.custom_gradient
    def function(_):
        return tf.stop_gradient(value), lambda cotangent: cotangent

    return function(computed)


def hermitian(A, lower):
    """The Hermitian matrix of one triangle of ``A``, whose gradient goes to both triangles, as in PyTorch."""

    @tf.custom_gradient
    def function(A):
        strict = tf.linalg.band_part(A, -1, 0) if lower else tf.linalg.band_part(A, 0, -1)
        strict = tf.linalg.set_diag(strict, tf.zeros_like(tf.linalg.diag_part(A)))
        diagonal = tf.cast(tf.math.real(tf.linalg.diag_part(A)), A.dtype)
        value = tf.linalg.set_diag(strict + adjoint(strict), diagonal)
        return value, lambda cotangent: (cotangent + adjoint(cotangent)) / 2

    return function(A)


def broadcast(A, B):
    """Both with their batches broadcast."""
    if A.shape[:-2] == B.shape[:-2]:
        return A, B
    batch = tf.broadcast_static_shape(A.shape[:-2], B.shape[:-2])
    return tf.broadcast_to(A, batch + A.shape[-2:]), tf.broadcast_to(B, batch + B.shape[-2:])


def _lower(matrix):
    return tf.linalg.band_part(matrix, -1, 0)


def _upper(matrix):
    return tf.linalg.band_part(matrix, 0, -1)


def _strictly_lower(matrix):
    return matrix - _upper(matrix)


def _unit(packed):
    """The unit lower factor that a square ``packed`` holds."""
    return tf.linalg.set_diag(_lower(packed), tf.ones_like(tf.linalg.diag_part(packed)))


@natives.having("program")
def linalg_solve_triangular(A, B, upper, left, unitriangular):
    if unitriangular:
        A = tf.linalg.set_diag(A, tf.ones_like(tf.linalg.diag_part(A)))
    A, B = broadcast(A, B)
    if left:
        return tf.linalg.triangular_solve(A, B, lower=not upper)
    return adjoint(tf.linalg.triangular_solve(A, adjoint(B), lower=not upper, adjoint=True))


@natives.having("program")  # XLA's kernel puts NaN where TensorFlow's raises
def linalg_cholesky_ex(A, upper):
    factor = tf.linalg.cholesky(hermitian(A, not upper))
    failed = tf.reduce_any(tf.math.is_nan(tf.math.real(tf.linalg.diag_part(factor))), -1)
    return (adjoint(factor) if upper else factor), tf.cast(failed, tf.int32)


# ---- LU ------------------------------------------------------------------------------------------------------------


def magnitude(values):
    """What LAPACK compares: ``|re| + |im|``."""
    if not values.dtype.is_complex:
        return tf.abs(values)
    return tf.abs(tf.math.real(values)) + tf.abs(tf.math.imag(values))


def exchanged(places, first, second):
    """The order of rows ``places`` with two of them exchanged."""
    return tf.where(places == first, second, tf.where(places == second, first, places))


def _flat(input, rank):
    """All dimensions but the last ``rank`` as one."""
    count = math.prod(input.shape[:-rank])
    return tf.reshape(input, (count, *input.shape[-rank:]))


def _eliminated(A):
    """Gaussian elimination with row pivots of ``A (b, m, n)``: both factors, the pivots from 1, and the rows' order.

    A loop of outer products: TensorFlow's own kernel takes square invertible matrices alone, and no XLA.
    """
    batch, rows, columns = A.shape
    across, down = tf.range(columns), tf.range(rows)
    count = min(rows, columns)
    steps = tf.range(count)

    def step(place, matrix, pivots, order):
        sizes = magnitude(tf.gather(matrix, place, axis=-1))
        pivot = tf.argmax(tf.where(down >= place, sizes, -tf.ones_like(sizes)), -1, tf.int32)[:, None]
        swap = exchanged(down, place, pivot)
        matrix = tf.gather(matrix, swap, batch_dims=1, axis=1)
        column, row = tf.gather(matrix, place, axis=2), tf.gather(matrix, place, axis=1)
        divisor = tf.gather(column, place, axis=1)[:, None]
        divides = (down > place) & (divisor != 0)
        factors = tf.where(divides, column / tf.where(divides, divisor, tf.ones_like(divisor)), 0)[..., None]
        matrix -= factors * tf.where(across > place, row, 0)[:, None, :]
        matrix = tf.where((across == place) & (down > place)[:, None], factors, matrix)
        return (
            place + 1,
            matrix,
            tf.where(steps == place, pivot + 1, pivots),
            tf.gather(order, swap, batch_dims=1, axis=1),
        )

    start = 0, A, tf.zeros((batch, count), tf.int32), tf.broadcast_to(down, (batch, rows))
    _, packed, pivots, order = tf.while_loop(lambda place, *_: place < count, step, start, maximum_iterations=count)
    return packed, pivots, order


def reordered(matrices, order):
    """The rows of each matrix ``(b, m, n)`` in its order ``(b, m)``; the gradient of an empty gather would fail."""
    return tf.gather(matrices, order, batch_dims=1, axis=1) if math.prod(matrices.shape) else matrices


def factored(A):
    """The packed factors of ``A (b, m, n)`` with gradients, the pivots and the rows' order.

    The gradient of a square factorization is PyTorch's, P left out: ``L^-H (tril(L^H gL, -1) + triu(gU U^H)) U^-H``.
    The rest of a wide or tall one is the solution of a triangular system.
    """
    packed, pivots, order = _eliminated(tf.stop_gradient(A))
    rows, columns = A.shape[1:]
    rank = min(rows, columns)
    sorted_ = reordered(A, order)
    value = packed[:, :rank, :rank]

    def backward(_, square, cotangents):
        (cotangent,) = cotangents
        lower, upper = _unit(square), _upper(square)
        inner = _strictly_lower(tf.matmul(lower, _strictly_lower(cotangent), adjoint_a=True))
        inner += _upper(tf.matmul(_upper(cotangent), upper, adjoint_b=True))
        inner = tf.linalg.triangular_solve(lower, inner, adjoint=True)
        return adjoint(tf.linalg.triangular_solve(upper, adjoint(inner), lower=False))

    square = differentiable(lambda _: tf.stop_gradient(value), backward)(sorted_[:, :rank, :rank])
    if columns > rank:
        right = tf.linalg.triangular_solve(_unit(square), sorted_[:, :, rank:])
        return tf.concat([square, instead(packed[:, :, rank:], right)], 2), pivots, order
    if rows > rank:
        below = tf.linalg.triangular_solve(_upper(square), adjoint(sorted_[:, rank:]), lower=False, adjoint=True)
        return tf.concat([square, instead(packed[:, rank:], adjoint(below))], 1), pivots, order
    return square, pivots, order


def first_zero(packed):
    """The place, from 1, of the first 0 on the diagonal; 0 if there is none."""
    zero = tf.linalg.diag_part(packed) == 0
    if not zero.shape[-1]:
        return tf.zeros(zero.shape[:-1], tf.int32)
    place = tf.argmax(tf.cast(zero, tf.int32), -1, tf.int32) + 1
    return tf.where(tf.reduce_any(zero, -1), place, 0)


@natives.having("program")
def linalg_lu_factor_ex(A, pivot):
    packed, pivots, _ = factored(_flat(A, 2))
    batch = A.shape[:-2]
    packed = tf.reshape(packed, A.shape)
    return packed, tf.reshape(pivots, (*batch, pivots.shape[-1])), first_zero(packed)


@natives.having("program")
def lu_permutation(pivots, size):
    places = tf.range(size)
    flat = _flat(tf.cast(pivots, tf.int32), 1)

    def step(place, order):
        swap = exchanged(places, place, tf.gather(flat, place, axis=1)[:, None] - 1)
        return place + 1, tf.gather(order, swap, batch_dims=1, axis=1)

    count = flat.shape[1]
    start = 0, tf.broadcast_to(places, (flat.shape[0], size))
    _, order = tf.while_loop(lambda place, _: place < count, step, start, maximum_iterations=count)
    return tf.reshape(order, (*pivots.shape[:-1], size))


# ---- QR ------------------------------------------------------------------------------------------------------------


def _qr_backward(_, factors, cotangents):
    """For m >= n, as PyTorch's ``linalg_qr_backward`` (Walter and Lehmann 2018, https://arxiv.org/abs/1009.6112)."""
    (Q, R), (gQ, gR) = factors, cotangents
    inner = _upper(tf.matmul(gR, R, adjoint_b=True) - tf.matmul(Q, gQ, adjoint_a=True))
    symmetric = inner + adjoint(inner)
    halved = tf.cast(tf.math.real(tf.linalg.diag_part(inner)), Q.dtype)
    total = gQ + Q @ tf.linalg.set_diag(symmetric, halved)
    return adjoint(tf.linalg.triangular_solve(R, adjoint(total), lower=False))


_tall_qr = differentiable(lambda A: tuple(tf.linalg.qr(A)), _qr_backward)


@natives.having("program", "unjitted")
def linalg_qr(A, mode):
    rows, columns = A.shape[-2:]
    if mode == "r":
        return tf.zeros((0,), A.dtype), tf.stop_gradient(tf.linalg.qr(A).r)
    if mode == "complete" and rows > columns:
        return tuple(_without_gradient(tf.linalg.qr)(A, full_matrices=True))
    if rows >= columns:
        return _tall_qr(A)
    Q, R = _tall_qr(A[..., :rows])
    return Q, tf.concat([R, tf.matmul(Q, A[..., rows:], adjoint_a=True)], -1)


def _without_gradient(function):
    """``function`` of a matrix whose gradient is refused, as PyTorch does."""

    def called(A, **options):
        @tf.custom_gradient
        def inner(A):
            def gradient(*_):
                raise NotImplementedError("the derivative of a complete QR exists for matrices that are not tall")

            return tuple(function(A, **options)), gradient

        return inner(A)

    return called


@natives.having("program")
def geqrf(input):
    """Householder's reflections, column by column (Golub and Van Loan 2013, algorithm 5.1.1, in LAPACK's signs)."""
    flat = _flat(input, 2)
    batch, rows, columns = flat.shape
    across, down, rank = tf.range(columns), tf.range(rows), min(rows, columns)

    def step(place, matrix, scales):
        column = tf.gather(matrix, place, axis=2)
        head = tf.gather(column, place, axis=1)[:, None]
        tail = tf.where(down > place, column, 0)
        rest = tf.reduce_sum(tf.math.real(tail * tf.math.conj(tail)), 1, keepdims=True)
        squared = rest + tf.math.real(head * tf.math.conj(head))
        idle = rest == 0
        if input.dtype.is_complex:
            idle &= tf.math.imag(head) == 0
        norm = tf.where(tf.math.real(head) >= 0, -tf.sqrt(squared), tf.sqrt(squared))
        norm = tf.cast(tf.where(idle, tf.math.real(head), norm), input.dtype)
        one = tf.ones_like(head)
        scale = tf.where(idle, tf.zeros_like(head), (norm - head) / tf.where(idle, one, norm))
        vector = tail / tf.where(idle, one, head - norm)
        whole = tf.where(down == place, one, vector)[..., None]
        products = tf.matmul(whole, matrix, adjoint_a=True)
        update = tf.math.conj(scale)[..., None] * whole * products
        matrix = tf.where(across > place, matrix - update, matrix)
        written = tf.where(down == place, norm, tf.where(down > place, vector, column))
        matrix = tf.where(across == place, written[..., None], matrix)
        return place + 1, matrix, tf.where(tf.range(rank) == place, scale, scales)

    start = 0, flat, tf.zeros((batch, rank), input.dtype)
    _, packed, scales = tf.while_loop(lambda place, *_: place < rank, step, start, maximum_iterations=rank)
    return tf.reshape(packed, input.shape), tf.reshape(scales, (*input.shape[:-2], rank))


# ---- eigenvalues and singular values -------------------------------------------------------------------------------


def _ratio(numerator, denominator):
    """A quotient with 0 / 0 = 0: of equal or vanishing values whose vectors nobody uses."""
    denominator = tf.cast(denominator, numerator.dtype)
    return numerator / tf.where((denominator == 0) & (numerator == 0), tf.ones_like(denominator), denominator)


def _over_gaps(numerator, values, diagonal):
    """``numerator[i, j] / (values[j] - values[i])`` beside ``diagonal``."""
    gaps = tf.linalg.set_diag(values[..., None, :] - values[..., :, None], tf.ones_like(values))
    return tf.linalg.set_diag(_ratio(numerator, gaps), tf.cast(diagonal, numerator.dtype))


def _eig_backward(A, factors, cotangents):
    """For eigenvectors of norm 1 (Boeddeker et al. 2017, https://arxiv.org/abs/1701.00392, section 4.18)."""
    (values, V), (gvalues, gV) = factors, cotangents
    inner = tf.matmul(V, gV, adjoint_a=True)
    along = tf.cast(tf.math.real(tf.linalg.diag_part(inner)), V.dtype)
    inner -= tf.matmul(V, V * along[..., None, :], adjoint_a=True)
    inner = _over_gaps(inner, tf.math.conj(values), gvalues)
    gradient = tf.linalg.solve(adjoint(V), tf.matmul(inner, V, adjoint_b=True))
    return gradient if A.dtype.is_complex else tf.math.real(gradient)


_eig = differentiable(lambda A: tuple(tf.linalg.eig(A)), _eig_backward)


@natives.having("program", "unjitted")
def linalg_eig(A):
    return _eig(A)


def _eigh_backward(_, factors, cotangents):
    """Boeddeker et al. 2017, https://arxiv.org/abs/1701.00392, for orthonormal eigenvectors."""
    (values, V), (gvalues, gV) = factors, cotangents
    inner = _over_gaps(tf.matmul(V, gV, adjoint_a=True), values, gvalues)
    return V @ tf.matmul(inner, V, adjoint_b=True)


def _eigh_forward(A):
    values, V = tf.linalg.eigh(A)
    return tf.math.real(values), V  # of a complex matrix they come as complex numbers


_eigh = differentiable(_eigh_forward, _eigh_backward)


@natives.having("program", "unjitted")
def linalg_eigh(A, UPLO):
    return _eigh(hermitian(A, UPLO in "lL"))


def _svd_forward(A):
    S, U, V = tf.linalg.svd(A)
    return U, S, adjoint(V)


def _svd_backward(A, factors, cotangents):
    """As PyTorch's ``svd_backward`` (Townsend 2016, https://j-towns.github.io/papers/svd-derivative.pdf).

    The vectors' phases are free; what a loss that does not depend on them leaves of their gradient is
    ``diag(U^H gU) / 2S``.
    """
    (U, S, Vh), (gU, gS, gVh) = factors, cotangents
    values = tf.cast(S, A.dtype)
    left = tf.matmul(U, gU, adjoint_a=True)
    left -= adjoint(left)
    right = tf.matmul(Vh, gVh, adjoint_b=True)
    right -= adjoint(right)
    diagonal = tf.cast(gS, A.dtype)
    if A.dtype.is_complex:
        diagonal += _ratio(tf.linalg.diag_part(left), 2 * values)
    inner = _over_gaps(left * values[..., None, :] + values[..., :, None] * right, S * S, diagonal)
    rows, columns = A.shape[-2:]
    gradient = U @ inner @ Vh
    if rows > columns:
        outside = _ratio(gU, values[..., None, :])
        gradient += (outside - U @ tf.matmul(U, outside, adjoint_a=True)) @ Vh
    if rows < columns:
        outside = _ratio(gVh, values[..., :, None])
        gradient += U @ (outside - tf.matmul(outside, Vh, adjoint_b=True) @ Vh)
    return gradient


_svd = differentiable(_svd_forward, _svd_backward)


@natives.having("program", "unjitted")
def thin_svd(A):
    return _svd(A)


# ---- LDL -----------------------------------------------------------------------------------------------------------

_GROWTH = (1 + 17**0.5) / 8
"""The threshold between pivots of size 1 and 2 that bounds the growth of elements (Bunch and Kaufman 1977)."""


def _transposed(matrix, conjugate):
    return adjoint(matrix) if conjugate else tf.linalg.matrix_transpose(matrix)


def _diagonal(matrix, conjugate):
    """The diagonal, real if the matrix is Hermitian."""
    diagonal = tf.linalg.diag_part(matrix)
    return tf.cast(tf.math.real(diagonal), matrix.dtype) if conjugate else diagonal


def each(function, operands, signature):
    """``function`` of single matrices over their batch."""
    batch = operands[0].shape[:-2]
    flat = [_flat(operand, operand.shape.rank - batch.rank) for operand in operands]
    results = tf.map_fn(lambda members: function(*members), tuple(flat), fn_output_signature=signature)
    return tf.nest.map_structure(lambda result: tf.reshape(result, batch + result.shape[1:]), results)


def _pivot_of(matrix, start, places):
    """Which row Bunch and Kaufman's partial pivoting takes, whether for a block of 2, and whether all is 0."""
    sizes = magnitude(matrix)
    below = tf.where(places > start, tf.gather(sizes, start, axis=1), -tf.ones_like(sizes[0]))
    furthest = tf.argmax(below, output_type=tf.int32)
    diagonal = tf.gather(tf.linalg.diag_part(sizes), start)
    column = tf.maximum(tf.reduce_max(below), 0)
    row = tf.reduce_max(tf.where((places >= start) & (places != furthest), tf.gather(sizes, furthest), 0))
    zero = tf.maximum(diagonal, column) == 0
    stays = zero | (diagonal >= _GROWTH * column) | (diagonal * row >= _GROWTH * column * column)
    double = ~stays & (tf.gather(tf.linalg.diag_part(sizes), furthest) < _GROWTH * row)
    return tf.where(stays, start, furthest), double, zero


def _inverse_of_block(matrix, start, double, zero):
    """The inverse of the block at ``start``: 2x2, or its first element's (or 1's, if ``zero``) in a unit matrix."""
    padded = tf.pad(matrix, ((0, 1), (0, 1)))
    block = tf.slice(padded, (start, start), (2, 2))
    first = tf.where(zero, tf.ones_like(block[0, 0]), block[0, 0])
    single = tf.linalg.diag(tf.stack([first, tf.ones_like(first)]))
    a, b, c, d = tf.unstack(tf.reshape(tf.where(double, block, single), (4,)))
    return tf.reshape(tf.stack([d, -b, -c, a]), (2, 2)) / (a * d - b * c)


@natives.having("program")
def linalg_ldl_factor_ex(A, hermitian):
    size = A.shape[-1]
    places = tf.range(size)

    def step(start, matrix, pivots, info):
        pivot, double, zero = _pivot_of(matrix, start, places)
        last = tf.where(double, start + 1, start)
        swap = exchanged(places, last, pivot)
        trailing = (places[:, None] >= start) & (places >= start)
        matrix = tf.where(trailing, tf.gather(tf.gather(matrix, swap), swap, axis=1), matrix)
        columns = tf.slice(tf.pad(matrix, ((0, 0), (0, 1))), (0, start), (size, 2))
        columns = tf.where((places > last)[:, None] & (tf.constant([True, False]) | double), columns, 0)
        factors = columns @ _inverse_of_block(matrix, start, double, zero)
        rest = (places[:, None] > last) & (places > last)
        matrix = tf.where(rest, matrix - factors @ _transposed(columns, hermitian), matrix)
        written = tf.where(places == start, factors[:, :1], tf.where(places == last, factors[:, 1:], matrix))
        matrix = tf.where((places[:, None] > last) & (places >= start) & (places <= last), written, matrix)
        mark = tf.where(double, -1, 1) * (pivot + 1)
        pivots = tf.where((places >= start) & (places <= last), mark, pivots)
        return last + 1, matrix, pivots, tf.where(zero & (info == 0), start + 1, info)

    def factor(matrix):
        lower = _strictly_lower(matrix)
        symmetric = tf.linalg.set_diag(lower + _transposed(lower, hermitian), _diagonal(matrix, hermitian))
        start = 0, symmetric, tf.zeros((size,), tf.int32), 0
        _, packed, pivots, info = tf.while_loop(lambda start, *_: start < size, step, start, maximum_iterations=size)
        return _lower(packed), pivots, info

    signature = tf.TensorSpec((size, size), A.dtype), tf.TensorSpec((size,), tf.int32), tf.TensorSpec((), tf.int32)
    if not math.prod(A.shape):
        return [tf.zeros(A.shape[:-2] + spec.shape, spec.dtype) for spec in signature]
    return each(factor, [A], signature)


def unpacked_ldl(packed, pivots, hermitian):
    """L, D and the order of rows of one factorization: ``A[order][:, order] = L D L^T``."""
    size = packed.shape[-1]
    places = tf.range(size)
    block = pivots < 0

    def step(place, lower, order, opens, opened):
        inside = tf.gather(block, place)
        second = inside & opened
        target = tf.where(inside & ~second, place, tf.abs(tf.gather(pivots, place)) - 1)
        swap = exchanged(places, place, target)
        done = places < tf.where(second, place - 1, place)
        lower = tf.where(done, tf.gather(lower, swap), lower)
        opened = inside & ~second
        return place + 1, lower, tf.gather(order, swap), tf.where(places == place, opened, opens), opened

    below = _strictly_lower(packed)
    start = 0, below, places, tf.zeros((size,), tf.bool), tf.constant(False)
    _, lower, order, opens, _ = tf.while_loop(lambda place, *_: place < size, step, start, maximum_iterations=size)
    at_block = (places[:, None] == places + 1) & opens
    off = tf.where(at_block, below, 0)
    blocks = tf.linalg.set_diag(off + _transposed(off, hermitian), _diagonal(packed, hermitian))
    return (
        tf.linalg.set_diag(tf.where(at_block, tf.zeros_like(lower), lower), tf.ones((size,), packed.dtype)),
        blocks,
        order,
    )

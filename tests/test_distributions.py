"""The distributions against scipy's, by Kolmogorov and Smirnov's test and by chi-square; and batteries on the stream.

Every seed is fixed, so that a run says the same twice. A p-value below 1e-4 fails: of some 40 tests one in 250 such
suites would, were the seed not fixed.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import unified as un
from unified import errors, random
from unified.random import draws

COUNT = 20_000
LEAST = 1e-4

CONTINUOUS = {
    "rand": (lambda: un.rand(COUNT), stats.uniform),
    "randn": (lambda: un.randn(COUNT), stats.norm),
    "exponential": (lambda: random.exponential(COUNT, rate=3.0), stats.expon(scale=1 / 3)),
    "truncated_normal": (
        lambda: random.truncated_normal(COUNT, mean=1.0, std=2.0, low=-1.0, high=3.0), stats.truncnorm(-1, 3, 1, 2),
    ),
    "gumbel": (lambda: random.gumbel(COUNT), stats.gumbel_r),
    "laplace": (lambda: random.laplace(COUNT), stats.laplace),
    "cauchy_": (lambda: un.empty(COUNT).cauchy_(1.0, 2.0), stats.cauchy(1, 2)),
    "log_normal_": (lambda: un.empty(COUNT).log_normal_(0.5, 0.25), stats.lognorm(0.25, scale=np.exp(0.5))),
    "gamma 0.7": (lambda: random.gamma(un.full((COUNT,), 0.7)), stats.gamma(0.7)),
    "gamma 3.5": (lambda: random.gamma(un.full((COUNT,), 3.5), 2.0), stats.gamma(3.5, scale=0.5)),
    "gamma 200": (lambda: random.gamma(un.full((COUNT,), 200.0)), stats.gamma(200)),
    "beta": (lambda: random.beta(un.full((COUNT,), 0.5), un.full((1,), 2.0)), stats.beta(0.5, 2)),
}  # fmt: skip
DISCRETE = {
    **{f"poisson {rate}": (lambda rate=rate: un.poisson(un.full((COUNT,), rate)), stats.poisson(rate))
       for rate in (0.3, 5.0, 11.9, 12.0, 40.0, 1e4)},
    "geometric_": (lambda: un.empty(COUNT).geometric_(0.3), stats.geom(0.3)),
    "randint": (lambda: un.randint(0, 30, (COUNT,)), stats.randint(0, 30)),
    "categorical": (lambda: random.categorical(un.tensor([0.0, 1.0, 2.0]), (COUNT,)),
                    stats.rv_discrete(values=([0, 1, 2], np.exp([0.0, 1, 2]) / np.exp([0.0, 1, 2]).sum()))),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous(backend, name):
    draw, law = CONTINUOUS[name]
    un.manual_seed(3)
    assert stats.kstest(draw().numpy().astype(np.float64), law.cdf).pvalue > LEAST


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete(backend, name):
    draw, law = DISCRETE[name]
    un.manual_seed(3)
    values = draw().numpy()
    assert (values == np.floor(values)).all()
    low, high = law.ppf(0.001), law.ppf(0.999)
    edges = np.unique(np.linspace(low, high, 25).astype(int))[:-1]  # each bin then has at least 20 expected values
    chances = np.diff([0.0, *law.cdf(edges), 1.0])
    counts = np.histogram(values, [-np.inf, *(edges + 0.5), np.inf])[0]
    fair = chances * COUNT > 5
    assert stats.chisquare(counts[fair], chances[fair] / chances[fair].sum() * counts[fair].sum()).pvalue > LEAST


def test_shapes_dtypes_and_edges(backend):
    un.manual_seed(0)
    rates = un.tensor([[0.0, 3.0], [30.0, 1e6]], dtype=un.float64)
    counts = un.poisson(rates)
    assert counts.dtype is un.float64
    assert tuple(counts.shape) == (2, 2)
    assert counts[0, 0].item() == 0
    assert random.gamma(un.ones(0)).shape == (0,)
    points = random.dirichlet(un.tensor([0.5, 1.0, 2.0]).expand(10, 3))
    np.testing.assert_allclose(points.sum(-1).numpy(), np.ones(10), rtol=1e-6)  # a float32 sum of three
    assert tuple(random.categorical(un.zeros(4, 5), (2, 3)).shape) == (2, 3, 4)
    rate = un.tensor([2.0, 4.0], requires_grad=True)
    values = random.gamma(un.tensor([3.0, 3.0]), rate)
    values.sum().backward()
    np.testing.assert_allclose(rate.grad.numpy(), -values.detach().numpy() / [2.0, 4.0], rtol=1e-6)


def test_the_same_everywhere_and_under_compile_and_vmap():
    found = []
    for backend in ("torch", "jax", "tensorflow"):
        with un.backend(backend):
            rates = un.tensor([0.5, 3.0, 12.0, 77.0] * 50)
            un.manual_seed(5)
            found.append([un.poisson(rates).tolist(), un.get_rng_state().tolist()])
            un.manual_seed(5)
            batched = un.func.vmap(un.poisson, randomness="different")(rates.reshape(50, 4))
            assert batched.reshape(-1).tolist() == found[-1][0]
            if backend != "torch":  # the same op there, 10 s of inductor
                un.manual_seed(5)
                assert un.compile(un.poisson)(rates).tolist() == found[-1][0]
    assert found[0] == found[1] == found[2]


def test_refusals(backend):
    for call, kind in [
        (lambda: un.poisson(un.tensor([1])), errors.DTypeError),
        (lambda: un.poisson(un.tensor([-1.0])), errors.ArgumentError),
        (lambda: un.poisson(un.tensor([float("nan")])), errors.ArgumentError),
        (lambda: random.gamma(un.zeros(2)), errors.ArgumentError),
        (lambda: random.dirichlet(un.tensor(1.0)), errors.ShapeError),
        (lambda: random.categorical(un.zeros(3, 0)), errors.ShapeError),
        (lambda: random.categorical(un.tensor([1])), errors.DTypeError),
        (lambda: random.exponential(3, rate=0.0), errors.ArgumentError),
        (lambda: random.truncated_normal(3, low=1.0, high=1.0), errors.ArgumentError),
        (lambda: un.Generator(0, impl="mersenne"), errors.ArgumentError),
    ]:
        with pytest.raises(kind):
            call()


def test_fork_rng_in_a_compiled_function(backend):
    """Whatever other backends there are, whose generators are not its own."""

    def draws(x):
        with un.fork_rng():
            un.manual_seed(3)
            x = x + un.rand(2)
        return x + un.rand(2)

    for name in un.available_backends():
        with un.backend(name):
            un.manual_seed(0)
    wanted = draws(un.zeros(2)).tolist()
    un.manual_seed(0)
    assert un.compile(draws)(un.zeros(2)).tolist() == wanted


def test_fork_rng(backend):
    un.manual_seed(4)
    expected = un.rand(5).tolist()
    un.manual_seed(4)
    with un.fork_rng():
        un.randn(100)
    assert un.rand(5).tolist() == expected
    un.manual_seed(4)
    with un.fork_rng(enabled=False):
        un.rand(5)
    assert un.rand(5).tolist() != expected
    un.manual_seed(4)
    with pytest.raises(ZeroDivisionError), un.fork_rng():
        un.rand(un.randint(1, 9, (1,)).item() // 0)
    assert un.rand(5).tolist() == expected


def test_the_frameworks_own_stream(backend):
    generator = un.Generator(5, impl="native")
    philox = un.rand(COUNT, generator=un.Generator(5)).tolist()
    for draw, law in [
        (lambda: un.rand(COUNT, generator=generator), stats.uniform),
        (lambda: un.randn(COUNT, generator=generator), stats.norm),
    ]:
        state = generator.get_state()
        values = draw().numpy()
        assert values.tolist() != philox
        assert stats.kstest(values.astype(np.float64), law.cdf).pvalue > LEAST
        assert draw().tolist() != values.tolist()
        assert generator.set_state(state) is generator
        assert draw().tolist() == values.tolist()  # the state says where it goes on
    mask = random.bernoulli_mask((COUNT,), 0.25, un.rand(1), generator)
    assert abs(mask.mean().item() - 0.25) < 5 * (0.25 * 0.75 / COUNT) ** 0.5


def _words() -> np.ndarray:
    state = un.tensor([7, 0, 0, 0], dtype=un.int32)
    return draws.random_words(state, 2**20)[0].numpy().view(np.uint32)


def test_battery_on_the_words(backend):
    """What PractRand asks first: bits, bytes, gaps between words, their order, and neighbours' dependence."""
    words = _words()
    ones = np.unpackbits(words.view(np.uint8)).reshape(-1, 32).sum(0)
    deviations = (ones - words.size / 2) / np.sqrt(words.size / 4)  # of each bit, in standard deviations
    assert stats.chi2.sf((deviations**2).sum(), 32) > LEAST
    for values, kinds in [
        (words.view(np.uint8), 256),
        (words >> 20, 4096),
        ((words[0::2] >> 26) * 64 + (words[1::2] >> 26), 4096),  # pairs
        (np.argsort(words[: 6 * (words.size // 6)].reshape(-1, 3), axis=1) @ [9, 3, 1], 27),  # orders of three
    ]:
        counts = np.bincount(np.asarray(values, np.int64), minlength=kinds)
        assert stats.chisquare(counts[counts > 0]).pvalue > LEAST, kinds
    signs = np.where(words >> 31, 1, -1)
    for lag in (1, 2, 3, 4, 8, 64, 1024):
        correlation = (signs[lag:] * signs[:-lag]).mean() * np.sqrt(words.size - lag)
        assert abs(correlation) < 4.5, lag
    birthdays = np.sort(words.astype(np.int64).reshape(256, 4096), axis=1)
    spacings = np.sort(np.diff(birthdays, axis=1), axis=1)  # Marsaglia and Tsang (2002): repeated ones are Poisson
    expected = 256 * 4096**3 / (4 * 2**32)
    assert abs((np.diff(spacings, axis=1) == 0).sum() - expected) < 5 * expected**0.5
    longest = max(len(run) for run in "".join("01"[int(sign > 0)] for sign in signs).split("0"))
    assert 12 <= longest <= 40  # about log2 of their number


def test_streams_of_neighbouring_seeds_are_independent(backend):
    first, second = (un.rand(2**18, generator=un.Generator(seed)).numpy() for seed in (41, 42))
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / 2**9
    together = np.histogram2d(first, second, bins=32)[0].ravel()
    assert stats.chisquare(together).pvalue > LEAST

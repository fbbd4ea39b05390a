"""Random numbers: Random123's published vectors, and the same bits on every backend, eager and compiled."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest
import tensorflow as tf
import torch

import unified as un
from unified import errors
from unified._dispatch import table, wrap
from unified._dtype import int32
from unified.backends import registry
from unified.random import bernoulli_mask, draws

BACKENDS = ("torch", "jax", "tensorflow")


def state_of(*words):
    backend = registry.load(un.get_backend())
    return wrap(backend.from_numpy(np.array(words, np.uint32).view(np.int32), int32, None))


def unsigned(tensor):
    return tensor.numpy().view(np.uint32)


def philox(seed, offset, count):
    """The definition in Salmon et al., SC 2011, word by word in Python's integers."""
    words = []
    for block in range(offset, offset + -(-count // 4)):
        counter = [block % 2**32, block >> 32 & 0xFFFFFFFF, 0, 0]
        key = [seed % 2**32, seed >> 32]
        words += philox_block(counter, key)
    return words[:count]


def philox_block(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [second >> 32 ^ c[1] ^ k[0], second % 2**32, first >> 32 ^ c[3] ^ k[1], first % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0],
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)  # fmt: skip
def test_the_oracle_gives_random123s_published_vectors(counter, key, expected):
    assert [f"{word:08x}" for word in philox_block(counter, key)] == expected.split()


@pytest.mark.parametrize("count", [0, 1, 4, 7, 40_001])
@pytest.mark.parametrize(
    ("seed", "offset"), [(0, 0), (0x299F31D0A4093822, 5), (2**64 - 1, 2**32 - 2), (7, 0x85A308D3243F6A88)]
)
def test_words_are_philox(backend, count, seed, offset):
    state = state_of(seed % 2**32, seed >> 32, offset % 2**32, offset >> 32)
    words, after = draws.random_words(state, count)
    assert unsigned(words).tolist() == philox(seed, offset, count)
    moved = (offset + -(-count // 4)) % 2**64
    assert unsigned(after).tolist() == [seed % 2**32, seed >> 32, moved % 2**32, moved >> 32]


DRAWS = {
    "rand": lambda: un.rand(100, 1001),
    "uniform": lambda: un.rand(100_000).uniform_(-1.3, 2.7),
    "uniform_symmetric": lambda: un.rand(100_000).uniform_(-0.1, 0.1),
    "randn": lambda: un.randn(100_000),
    "odd": lambda: un.randn(3, 7),
    "normal": lambda: un.rand(100_000).normal_(3.0, 0.02),
    "exponential": lambda: un.rand(100_000).exponential_(2.0),
    "randint": lambda: un.randint(-5, 1000, (10_001,)),
    "randint_all": lambda: un.randint(-(2**31), 2**31, (10_001,)),
    "randint_wide": lambda: un.randint(2**40, 2**40 + 5, (1001,), dtype=un.int64),
    "randperm": lambda: un.randperm(200_000),
    "bernoulli": lambda: un.bernoulli(un.rand(30, 100)),
    "mask": lambda: bernoulli_mask((77, 99), 0.3, un.rand(1)),
    "replaced": lambda: un.multinomial(un.rand(7, 50), 500, replacement=True),
    "multinomial": lambda: un.multinomial(un.rand(7, 50), 20),
    "float64": lambda: un.rand(1001, dtype=un.float64),
    "float16": lambda: un.rand(1001, dtype=un.float16),
    "random": lambda: un.rand(1001).random_(),
    "empty": lambda: un.randn(0, 3),
    "scalar": lambda: un.rand(),
}


MILLION = {"words": (lambda state: draws.random_words(state, 2**20)[0], 0),
           "uniforms": (lambda state: draws.random_uniform(state, (2**20,), 0.0, 1.0, un.float32)[0], 0),
           "permutation": (lambda state: draws.random_permutation(state, 2**20, un.int32)[0], 0),
           "normals": (lambda state: draws.random_normal(state, (2**20,), 0.0, 1.0, un.float32)[0], 2)}  # fmt: skip
"""What is drawn, and by how many units in the last place it may differ between backends."""


@pytest.mark.parametrize("name", MILLION)
def test_a_million_numbers_are_the_same_everywhere_eager_and_compiled(name):
    function, ulp = MILLION[name]
    found = []
    for backend in BACKENDS:
        with un.backend(backend):
            state = state_of(11, 22, 33, 44)
            found += [function(state).numpy(), un.compile(function)(state).numpy()]
    first, *others = found
    for values in others:
        if ulp:
            np.testing.assert_array_max_ulp(values, first, ulp)
        else:
            assert values.tobytes() == first.tobytes()


@pytest.mark.parametrize("name", DRAWS)
def test_one_seed_gives_the_same_bits_everywhere(name):
    found = []
    for backend in BACKENDS:
        with un.backend(backend):
            un.manual_seed(7)
            values = DRAWS[name]()
            state = un.get_rng_state()
        found.append((values.numpy(), state.numpy().tolist()))
    (first, state), *others = found
    for values, other_state in others:
        assert values.dtype == first.dtype
        assert values.tobytes() == first.tobytes()
        assert other_state == state


@pytest.mark.parametrize(
    ("name", "args"),
    [("random_uniform", (-1.2999999523162842, 4.0)), ("random_normal", (3.0, 0.75)), ("random_exponential", (2.0,))],
)
def test_compiled_draws_have_the_same_bits(name, args):
    """Inside another program, where XLA may fuse a multiplication with an addition."""
    words, size = np.array([3, 0, 11, 0], np.int32), (10_000,)
    natives = {backend: registry.load(backend).natives[name] for backend in BACKENDS}
    expected = natives["torch"](torch.tensor(words), size, *args, un.float32)[0].numpy()
    jitted = jax.jit(lambda state: natives["jax"](state, size, *args, un.float32)[0])
    graph = lambda state: natives["tensorflow"](state, size, *args, un.float32)[0]  # noqa: E731
    found = [
        np.asarray(jitted(words)),
        tf.function(graph, jit_compile=True, autograph=False)(tf.constant(words)).numpy(),
        tf.function(graph, autograph=False)(tf.constant(words)).numpy(),
    ]
    for values in found:
        assert values.tobytes() == expected.tobytes()


def test_uniform_is_the_upper_24_bits(backend):
    un.manual_seed(5)
    expected = np.array([word >> 8 for word in philox(5, 0, 99)], np.float32) * np.float32(2.0**-24)
    np.testing.assert_array_equal(un.rand(99).numpy(), expected)


def test_randint_scales_words(backend):
    un.manual_seed(5)
    expected = [3 + (word * 1000 >> 32) for word in philox(5, 0, 99)]
    assert un.randint(3, 1003, (99,)).tolist() == expected
    assert un.randint(10, (4,)).dtype is un.int32


def test_distributions(backend):
    """Means and deviations of 100,000 draws, each within 5 standard errors."""
    un.manual_seed(0)
    error = 5 / math.sqrt(100_000)
    for values, mean, deviation in [
        (un.rand(100_000), 0.5, math.sqrt(1 / 12)),
        (un.randn(100_000), 0.0, 1.0),
        (un.rand(100_000).exponential_(4.0), 0.25, 0.25),
        (bernoulli_mask((100_000,), 0.1, un.rand(1)), 0.1, 0.3),
        (un.randint(0, 100, (100_000,)), 49.5, math.sqrt((100**2 - 1) / 12)),
    ]:
        array = values.numpy().astype(np.float64)
        assert abs(array.mean() - mean) < error * deviation
        assert abs(array.std() - deviation) < 2 * error * deviation
    weights = np.array([0.0, 1.0, 3.0, 0.0, 6.0], np.float32)
    tensor = wrap(registry.load(backend).from_numpy(weights, un.float32, None))
    counts = np.bincount(un.multinomial(tensor, 100_000, replacement=True).numpy(), minlength=5)
    np.testing.assert_allclose(counts / 100_000, weights / 10, atol=error)
    drawn = np.sort(un.multinomial(tensor, 3).numpy())
    assert drawn.tolist() == [1, 2, 4]
    assert sorted(un.randperm(1000).tolist()) == list(range(1000))


def test_mask_with_certain_probabilities(backend):
    like = un.rand(1, dtype=un.float64)
    assert bernoulli_mask((1000,), 1.0, like).sum().item() == 1000
    mask = bernoulli_mask((1000,), 0.0, like)
    assert mask.dtype is un.float64
    assert mask.sum().item() == 0


def test_generator_goes_on_where_its_state_says(backend):
    generator = un.Generator(2**63 + 5)
    assert generator.initial_seed() == 2**63 + 5
    first = un.rand(10, generator=generator).tolist()
    state = generator.get_state()
    second = un.randn(10, generator=generator).tolist()
    generator.set_state(state)
    assert un.randn(10, generator=generator).tolist() == second
    assert un.rand(10, generator=generator.manual_seed(2**63 + 5)).tolist() == first
    assert un.rand(10, generator=un.Generator(-3)).tolist() == un.rand(10, generator=un.Generator(2**64 - 3)).tolist()
    assert un.Generator().initial_seed() == un.Generator().initial_seed()
    assert generator.seed() == generator.initial_seed()


def test_default_generators_are_seeded_together():
    un.manual_seed(11)
    drawn = []
    for backend in BACKENDS:
        with un.backend(backend):
            assert un.initial_seed() == 11
            drawn.append(un.rand(3).tolist())
            un.set_rng_state(un.Generator(12).get_state())
            drawn.append(un.rand(3).tolist())
    assert drawn[0::2] == [drawn[0]] * 3
    assert drawn[1::2] == [drawn[1]] * 3


def test_draws_record_nothing_and_write_in_place(backend):
    tensor = un.rand(4, requires_grad=True)
    assert tensor.requires_grad
    assert tensor.is_leaf
    with pytest.raises(errors.InPlaceLeafError):
        tensor.normal_()
    with un.no_grad():
        assert tensor.normal_() is tensor
    assert un.autograd.grad(un.bernoulli(tensor.sigmoid()).sum(), tensor)[0].tolist() == [0.0] * 4  # as in PyTorch
    assert un.randn_like(tensor).shape == (4,)
    mean = un.rand(3, 1, requires_grad=True)
    un.normal(mean, un.rand(4)).sum().backward()
    assert mean.grad.tolist() == [[4.0]] * 3


def test_refusals(backend):
    for call, kind in [
        (lambda: un.manual_seed(2**64), errors.ArgumentError),
        (lambda: un.manual_seed("1"), errors.OperandError),
        (lambda: un.rand(-1), errors.ShapeError),
        (lambda: un.rand(2, dtype=un.int32), errors.DTypeError),
        (lambda: un.randint(3, 3, (2,)), errors.ArgumentError),
        (lambda: un.randint(0, 2**31 + 1, (2,)), errors.ArgumentError),
        (lambda: un.rand(3).uniform_(1.0, 0.0), errors.ArgumentError),
        (lambda: un.randint(5, (3,)).normal_(), errors.DTypeError),
        (lambda: bernoulli_mask((2,), 1.5, un.rand(1)), errors.ArgumentError),
        (lambda: un.bernoulli(un.randint(2, (3,))), errors.DTypeError),
        (lambda: un.multinomial(un.rand(3), 4), errors.ArgumentError),
        (lambda: un.multinomial(un.rand(2, 2, 2), 1), errors.ShapeError),
        (lambda: un.Generator(0).set_state(un.rand(4)), errors.ShapeError),
    ]:
        with pytest.raises(kind):
            call()


def test_a_generator_of_another_backend_is_refused():
    with un.backend("torch"):
        tensor = un.rand(2)
    with pytest.raises(errors.BackendMismatchError, match="make one with"):
        un.rand_like(tensor, generator=un.Generator(0, backend="jax"))


def test_every_draw_has_a_native_on_every_backend():
    names = [
        name for name, op in table.items() if name.startswith(("random_", "native_uniform")) and not op.composite
    ]
    assert len(names) >= 9
    for backend in BACKENDS:
        assert set(names) <= set(registry.load(backend).natives)

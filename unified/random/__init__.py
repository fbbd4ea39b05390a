"""Random numbers that are the same on every backend, device and path."""

from unified.random import in_place
from unified.random.distributions import (
    beta,
    categorical,
    dirichlet,
    exponential,
    gamma,
    gumbel,
    laplace,
    poisson,
    truncated_normal,
)  # fmt: skip
from unified.random.generator import (
    Generator,
    default_generator,
    fork_rng,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)  # fmt: skip
from unified.random.sampling import (
    bernoulli,
    bernoulli_mask,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
)  # fmt: skip

__all__ = [
    "Generator", "bernoulli", "bernoulli_mask", "beta", "categorical", "default_generator", "dirichlet",
    "exponential", "fork_rng", "gamma", "get_rng_state", "gumbel", "initial_seed", "laplace", "manual_seed",
    "multinomial", "normal", "poisson", "rand", "rand_like", "randint", "randint_like", "randn",
    "randn_like", "randperm", "seed", "set_rng_state", "truncated_normal",
]  # fmt: skip

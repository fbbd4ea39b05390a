"""A Wasserstein GAN on two moons; the critic's slope is held near one by a gradient penalty (Gulrajani et al. 2017).

python docs/examples/wgan_gp.py --backend jax
"""

from __future__ import annotations

import argparse
from itertools import pairwise

import numpy as np
from sklearn.datasets import make_moons

import unified as un
from unified import optim


def layers(rng, *widths):
    """Weights and biases of a perceptron."""
    arrays = [a for i, o in pairwise(widths) for a in (rng.normal(0, i**-0.5, (i, o)), np.zeros(o))]
    return [un.tensor(array.astype("float32")).requires_grad_() for array in arrays]


def perceptron(x, weights):
    first, first_bias, second, second_bias = weights
    return un.tanh(x @ first + first_bias) @ second + second_bias


def penalty(critic, real, fake, mix):
    """Mean of (|d critic / d x| - 1)^2 at points between real and fake ones."""
    between = (mix * real + (1 - mix) * fake).requires_grad_()
    (slope,) = un.autograd.grad(perceptron(between, critic).sum(), between, create_graph=True)
    return (((slope * slope).sum(1).sqrt() - 1) ** 2).mean()


def experiment() -> list[float]:
    """The critic's loss and its penalty at each of six steps."""
    rng = np.random.default_rng(0)
    moons = make_moons(256, noise=0.05, random_state=0)[0].astype("float32")
    critic, generator = layers(rng, 2, 32, 1), layers(rng, 4, 32, 2)
    critic_step, generator_step = optim.SGD(critic, lr=0.002), optim.SGD(generator, lr=0.002)
    figures = []
    for _ in range(6):
        real = un.tensor(moons[rng.choice(256, 64)])
        noise = un.tensor(rng.normal(size=(64, 4)).astype("float32"))
        mix = un.tensor(rng.uniform(size=(64, 1)).astype("float32"))
        fake = perceptron(noise, generator).detach()
        held = penalty(critic, real, fake, mix)
        loss = perceptron(fake, critic).mean() - perceptron(real, critic).mean() + 10 * held
        critic_step.zero_grad()
        loss.backward()
        critic_step.step()
        generator_step.zero_grad()
        (-perceptron(perceptron(noise, generator), critic).mean()).backward()
        generator_step.step()
        figures += [loss.item(), held.item()]
    return figures


def run(backend: str) -> list[float]:
    with un.backend(backend):
        return experiment()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="torch")
    print(*run(parser.parse_args().backend))

"""Optax's transformations on lists of arrays, with their state as a flat list."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unified.backends.protocol import Natives

natives = Natives()


@natives
def optax_init(params, transformation):
    return [jnp.asarray(leaf) for leaf in jax.tree.leaves(transformation.init(list(params)))]


@natives
def optax_update(params, grads, state, transformation):
    params = list(params)
    structure = jax.tree.structure(jax.eval_shape(transformation.init, params))
    updates, after = transformation.update(list(grads), jax.tree.unflatten(structure, state), params)
    updated = [(param + update).astype(param.dtype) for param, update in zip(params, updates, strict=True)]
    return [*updated, *[jnp.asarray(leaf) for leaf in jax.tree.leaves(after)]]

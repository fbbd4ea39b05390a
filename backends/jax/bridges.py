"""Optax's transformations and flax's nnx modules over our parameters, and our Modules as nnx's."""

from __future__ import annotations

import importlib

import jax
import jax.numpy as jnp
import numpy as np

from unified.backends.protocol import Member, Natives, errors

natives = Natives()


def _nnx():
    """Flax, which not every user of JAX has."""
    try:
        return importlib.import_module("flax.nnx")
    except ImportError as error:
        raise errors.MissingBackendError(
            f"flax cannot be imported ({error}); install it with: pip install 'unified-nn[jax]'"
        ) from error


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


def _is_key(array):
    return jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


class _Variable:
    """One nnx variable; satisfies ``protocol.Cell``. A random key is an array of words to us."""

    def __init__(self, variable) -> None:
        self.variable = variable
        self._seen = (None, None)

    def read(self, held):
        value = self.variable.get_value()
        if value is not self._seen[0]:
            self._seen = (value, _words(value))
        return self._seen[1]

    def write(self, native) -> None:
        if native is not self.read(None):
            self.variable.set_value(_like(native, self.variable.get_value()))


def _words(value):
    """What we keep of a variable's value."""
    return jax.random.key_data(value) if _is_key(value) else value


def _like(native, value):
    """The same as a value of the kind of ``value``."""
    return jax.random.wrap_key_data(native, impl=jax.random.key_impl(value)) if _is_key(value) else native


def _flat(state):
    """The variables of a state by path."""
    return dict(_nnx().to_flat_state(state))


class Adapted:
    """Satisfies ``protocol.AdaptedModule``."""

    def __init__(self, module) -> None:
        nnx = _nnx()
        if not isinstance(module, nnx.Module):
            raise errors.OperandError(f"from_flax: takes an nnx.Module, not {type(module).__name__}")
        self.module = module
        found = {path: node for path, node in nnx.iter_graph(module) if isinstance(node, nnx.Variable)}
        self.paths = [path for path in _flat(nnx.state(module)) if path in found]
        cells = {path: _Variable(found[path]) for path in self.paths}
        self.members = [
            Member(".".join(map(str, path)), cells[path], cells[path].read(None), *[_trains(nnx, found[path])] * 2)
            for path in self.paths
        ]
        self.parts = {"": not any(_evaluates(node) for _, node in nnx.iter_graph(module))}

    def set_training(self, part, mode) -> None:
        self.module.train() if mode else self.module.eval()

    def program(self):
        nnx = _nnx()
        graph, state = nnx.split(self.module)
        order = [path for wanted in (True, False) for path, member in zip(self.paths, self.members, strict=True)
                 if member.is_parameter is wanted]  # fmt: skip
        return graph, _flat(state), order


def _trains(nnx, variable):
    return isinstance(variable, nnx.Param) and jnp.issubdtype(variable.get_value().dtype, jnp.inexact)


def _evaluates(node):
    return getattr(node, "deterministic", None) is True or getattr(node, "use_running_average", None) is True


@natives
def native_module(parameters, buffers, args, call):
    nnx = _nnx()
    args, kwargs = call.arguments(args)
    graph, template, order = call.program
    values = {
        path: _like(native, template[path].get_value())
        for path, native in zip(order, [*parameters, *buffers], strict=True)
    }
    filled = [(path, template[path].replace(value)) for path, value in values.items()]
    module = nnx.merge(graph, nnx.from_flat_state(filled))
    leaves, structure = jax.tree.flatten(module(*args, **kwargs))
    state = _flat(nnx.state(module))
    after = [(state[path].get_value(), values[path]) for path in order[len(parameters) :]]
    changed = [None if new is old else _words(new) for new, old in after]
    return call.results(leaves, lambda values: jax.tree.unflatten(structure, values), changed)


def export(state, run, set_training, random):
    """See ``protocol.ModuleExporter``."""
    nnx = _nnx()

    class Part(nnx.Module):
        pass

    class RandomState(nnx.Variable):
        """The state of our default generator."""

    class Exported(nnx.Module):
        """A Module of ours among nnx's."""

        def __call__(self, *args, **kwargs):
            args, kwargs = jax.tree.map(lambda v: jnp.asarray(v) if isinstance(v, np.ndarray) else v, (args, kwargs))
            variables = self._variables()
            values = {name: variable.get_value() for name, variable in variables.items()}
            output, changed, drawn = run(values, args, kwargs, self.random_state.get_value())
            for name, native in changed.items():
                variables[name].set_value(native)
            self.random_state.set_value(drawn)
            return output

        def _variables(self):
            return {name: _reach(self, name) for name in state}

        def train(self, **attributes):
            set_training(True)
            super().train(**attributes)

        def eval(self, **attributes):
            set_training(False)
            super().eval(**attributes)

    module = Exported()
    module.random_state = RandomState(random)
    for name, (native, trains) in state.items():
        path, _, local = name.rpartition(".")
        owner = module
        for part in path.split(".") if path else ():
            if not hasattr(owner, part):
                setattr(owner, part, Part())
            owner = getattr(owner, part)
        setattr(owner, local, nnx.Param(native) if trains else nnx.BatchStat(native))
    return module, {name: _Variable(variable) for name, variable in module._variables().items()}


def _reach(module, name):
    for part in name.split("."):
        module = getattr(module, part)
    return module

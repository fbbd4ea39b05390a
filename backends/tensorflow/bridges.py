"""Keras's layers over our parameters."""

from __future__ import annotations

import importlib

import tensorflow as tf

from unified.backends.protocol import Member, Natives, errors

natives = Natives()


def _keras():
    return importlib.import_module("keras")  # comes with TensorFlow; heavy, and needed here alone


class _Variable:
    """One Keras variable; satisfies ``protocol.Cell``."""

    def __init__(self, variable) -> None:
        self.variable = variable

    def read(self, held):
        with tf.init_scope():  # out of what is being traced
            return tf.convert_to_tensor(self.variable.value)

    def write(self, native) -> None:
        with tf.init_scope():
            self.variable.assign(native)


def _names(variables):
    """Dotted names: variables of one layer share a number, by the order of layers, as Keras's own count on."""
    owners = {}
    for variable in variables:
        owners.setdefault(variable.path.rpartition("/")[0], len(owners))
    for variable in variables:
        owner, _, name = variable.path.rpartition("/")
        yield name if len(owners) == 1 else f"{owners[owner]}.{name}"


class Adapted:
    """Satisfies ``protocol.AdaptedModule``."""

    def __init__(self, module) -> None:
        keras = _keras()
        if not isinstance(module, keras.Layer):
            raise errors.OperandError(f"from_keras: takes a keras.Layer, not {type(module).__name__}")
        if keras.backend.backend() != "tensorflow":
            raise errors.BackendError(
                f"from_keras: Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=tensorflow before its import"
            )
        if not module.built:
            raise errors.ArgumentError(
                f"from_keras: {module.name!r} has no variables yet; call it once, or .build(input_shape)"
            )
        self.module = module
        trained = module.trainable_variables
        self.variables = variables = [*trained, *module.non_trainable_variables]
        ordered = list(_names(module.variables))
        known = {id(variable): name for variable, name in zip(module.variables, ordered, strict=True)}
        self.members = [
            Member(known[id(v)], _Variable(v), tf.convert_to_tensor(v.value), i < len(trained), i < len(trained))
            for i, v in enumerate(variables)
        ]
        self.parts = {"": True}

    def set_training(self, part, mode) -> None:
        pass  # Keras takes it with each call

    def program(self):
        return self.variables


@natives.having("program", "unjitted")  # XLA draws other bits of a seed, and may refuse only one of the two programs
def native_module(parameters, buffers, args, call):
    args, kwargs = call.arguments(args)
    variables = call.program
    kwargs.setdefault("training", call.training)
    with _keras().StatelessScope(state_mapping=list(zip(variables, [*parameters, *buffers], strict=True))) as scope:
        result = call.adapted.module(*args, **kwargs)
    after = [scope.get_current_value(variable) for variable in variables[len(parameters) :]]
    changed = [None if new is old else new for new, old in zip(after, buffers, strict=True)]
    flat = tf.nest.flatten(result)
    return call.results(flat, lambda values: tf.nest.pack_sequence_as(result, values), changed)

"""The autograd contract: one table of behaviours, each asked of PyTorch and of every backend, eager and compiled."""

from tests.contract import (
    checkpoint,
    complex,
    errors,
    func_transforms,
    function_rules,
    functions,
    grad_function,
    graph_lifetime,
    higher_order,
    hooks,
    inplace,
    kinks,
    leaves_and_accumulation,
    modes,
    modules,
    tape,
)
from tests.contract.row import rows_of

TABLE = rows_of(
    leaves_and_accumulation, grad_function, modes, hooks, graph_lifetime, inplace, functions,
    function_rules, higher_order,
    func_transforms, complex, kinks, errors, modules, checkpoint, tape,
)  # fmt: skip

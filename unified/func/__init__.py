"""Function transforms with the names and arguments of ``torch.func``, on every backend, nested in any order.

A transform takes a function of Tensors and gives another. Arguments and results are Tensors in any nesting of tuples,
lists, dicts and dataclasses.
"""

from unified.func.batching import vmap
from unified.func.forward import jvp, linearize
from unified.func.jacobian import hessian, jacfwd, jacrev
from unified.func.modules import functional_call, stack_module_state
from unified.func.reverse import grad, grad_and_value, value_and_grad, vjp

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "value_and_grad",
    "vjp",
    "vmap",
]

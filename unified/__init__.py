"""One Module/Tensor API on PyTorch, JAX and TensorFlow. ``import unified as un``; no framework is imported yet."""

from unified import autograd, errors
from unified._device import device, set_default_device
from unified._dtype import (
    DType,
    bfloat16,
    can_cast,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    uint8,
    uint16,
    uint32,
    uint64,
)  # fmt: skip
from unified._dtype import (
    bool_ as bool,
)
from unified._selection import available_backends, backend, get_backend, set_backend
from unified._size import Size
from unified._tensor import Tensor
from unified.autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from unified.compile import compile
from unified.ops.arithmetic import *
from unified.ops.comparison import *
from unified.ops.complex import *
from unified.ops.contraction import *
from unified.ops.conversion import *
from unified.ops.creation import *
from unified.ops.distance import *
from unified.ops.elementwise import *
from unified.ops.factorization import *
from unified.ops.indexing import *
from unified.ops.joining import *
from unified.ops.linalg import *
from unified.ops.order import *
from unified.ops.reduction import *
from unified.ops.scan import *
from unified.ops.scatter import *
from unified.ops.search import *
from unified.ops.shape import *
from unified.ops.solve import *
from unified.ops.special import *
from unified.ops.statistics import *

from unified import fft, linalg, masked, nn, optim, signal, special  # isort: skip
from unified.random import (
    Generator,
    bernoulli,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    seed,
    set_rng_state,
)  # fmt: skip

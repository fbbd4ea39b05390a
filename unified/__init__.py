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
from unified.amp import autocast, get_autocast_dtype, is_autocast_enabled
from unified.autograd import (
    checkpoint,
    custom_op,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from unified.compile import TensorSpec, compile, disable_compile
from unified.control_flow import associative_scan, cond, fori_loop, map, scan, switch, while_loop
from unified.io.files import load, save
from unified.io.modules import load_model, save_model
from unified.memory import empty_cache, memory_stats, set_memory_growth
from unified.ops.arithmetic import *
from unified.ops.comparison import *
from unified.ops.complex import *
from unified.ops.contraction import *
from unified.ops.conversion import *
from unified.ops.creation import *
from unified.ops.distance import *
from unified.ops.dtypes import *
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
from unified.ops.spectrogram import *
from unified.ops.statistics import *
from unified.ops.windows import *

from unified import fft, linalg, masked, nn, optim, signal, special, utils  # isort: skip
from unified import func  # isort: skip
from unified.func import vmap

from unified import amp, io  # isort: skip
from unified import debug  # isort: skip
from unified import interop  # isort: skip
from unified.interop import from_dlpack
from unified.nn.bridges import to_flax, to_torch
from unified.nn.functional import (
    adaptive_avg_pool1d,
    adaptive_max_pool1d,
    avg_pool1d,
    channel_shuffle,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    pixel_shuffle,
    pixel_unshuffle,
)  # fmt: skip
from unified.nn.functional.normalization import (
    group_norm,
    layer_norm,
    native_batch_norm,
    native_group_norm,
    native_layer_norm,
    rms_norm,
)  # fmt: skip
from unified.nn.functional.sampling import grid_sampler_2d, grid_sampler_3d
from unified.nn.functional_model import Input, Model
from unified.nn.picture import plot_model
from unified.random import (
    Generator,
    bernoulli,
    default_generator,
    fork_rng,
    get_rng_state,
    initial_seed,
    manual_seed,
    multinomial,
    normal,
    poisson,
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
from unified.random.lowrank import pca_lowrank, svd_lowrank

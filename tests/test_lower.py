"""Ahead of time: a function's program as text, its costs, and its executable, without a call and without a trace."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

import unified as un
import unified.nn.functional as F
from unified import errors, nn
from unified._liveness import Step, peak

ROWS, WIDTH, HIDDEN, CLASSES = 32, 64, 128, 10
PRODUCTS = 2 * ROWS * WIDTH * HIDDEN + 2 * ROWS * HIDDEN * CLASSES
"""Floating point operations of the two matrix products of a forward pass."""

CLOSE = {"rtol": 1e-4, "atol": 1e-6}
"""XLA and inductor reorder float32 sums of 128 terms; Adam divides by the root of squares of small gradients."""


class Training:
    """A classifier and its optimiser."""

    def __init__(self):
        un.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.ReLU(), nn.Dropout(0.5), nn.Linear(HIDDEN, CLASSES))
        self.optimizer = un.optim.AdamW(self.model.parameters(), lr=0.01)
        self.x = un.randn(ROWS, WIDTH)
        self.y = un.zeros(ROWS, dtype=un.int32)

    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def state(self):
        held = [*self.model.parameters(), un.default_generator().state]
        held += [t for s in self.optimizer.state.values() for t in s.values() if isinstance(t, un.Tensor)]
        return [t.detach().numpy().copy() for t in held]


def test_lowering_runs_nothing_and_changes_no_state(backend):
    training = Training()
    before = training.state()
    natives = [p._native for p in training.model.parameters()]
    step = un.compile(training.step)
    lowered = step.lower(un.TensorSpec((ROWS, WIDTH)), un.TensorSpec((ROWS,), un.int32))
    for stage in ("graph", "lowered"):
        assert len(lowered.as_text(stage)) > 1000
    assert all(a is p._native for a, p in zip(natives, training.model.parameters(), strict=True))
    for a, b in zip(training.state(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(p.grad is None for p in training.model.parameters())
    assert "0 program(s)" in step.explain()


def test_a_compiled_step_does_what_the_function_does(backend):
    ours, theirs = Training(), Training()
    compiled = un.compile(ours.step).lower(un.TensorSpec((ROWS, WIDTH)), ours.y).compile()
    for seed in (1, 2):
        un.manual_seed(seed)
        a = compiled(ours.x, ours.y).item()
        un.manual_seed(seed)
        np.testing.assert_allclose(a, theirs.step(theirs.x, theirs.y).item(), **CLOSE)
    for a, b in zip(ours.state(), theirs.state(), strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


def test_costs_and_memory(backend):
    training = Training()
    training.model.eval()
    forward = un.compile(un.no_grad()(training.model.forward))
    compiled = forward.lower(un.TensorSpec((ROWS, WIDTH))).compile()
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    # beside the products, XLA counts the bias and the comparison with zero: one each for an element of a layer
    assert PRODUCTS <= cost["flops"] <= PRODUCTS + 4 * ROWS * (HIDDEN + CLASSES)
    weights = 4 * (WIDTH * HIDDEN + HIDDEN + HIDDEN * CLASSES + CLASSES)
    assert cost["bytes accessed"] >= weights
    assert memory["arguments"] == weights + 4 * ROWS * WIDTH
    assert 4 * ROWS * CLASSES <= memory["outputs"] <= 4 * ROWS * CLASSES + 64  # the tuple's pointers, on JAX
    assert memory["peak"] >= memory["arguments"] + memory["outputs"]
    assert memory["temporary"] <= 3 * 4 * ROWS * HIDDEN


def test_explain_knows_costs_reasons_and_state(backend):
    training = Training()
    training.model.eval()
    forward = un.compile(un.no_grad()(training.model.forward))
    forward(training.x)
    forward(training.x[:3])
    report = forward.explain()
    assert [p["backend"] for p in report.programs] == [backend] * 2
    assert [p["arguments"] for p in report.programs] == [["float32 (32, 64)"], ["float32 (3, 64)"]]
    assert report.programs[0]["flops"] >= PRODUCTS > report.programs[1]["flops"]
    assert report.programs[0]["captured"] == 4
    assert report.programs[0]["changed"] == 0
    assert report.programs[0]["seconds"] > 0
    assert report.reasons[0] == "first call"
    assert "(32, 64) to float32 (3, 64)" in report.reasons[1]
    assert "2 program(s)" in str(report)
    assert "FLOP" in str(report)
    assert report.splitlines()[-1] == f"  last traced because: {report.reasons[1]}"


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("graph", {"jax": "dot_general", "tensorflow": "MatMul", "torch": "torch.ops.aten.addmm"}),
        ("lowered", {"jax": "stablehlo.dot_general", "tensorflow": "HloModule", "torch": "torch.ops.aten.addmm"}),
        ("optimized", {"jax": "is_scheduled=true", "tensorflow": "is_scheduled=true", "torch": "extern_kernels"}),
    ],
)
def test_ir_shows_each_stage(backend, stage, words):
    training = Training()
    forward = un.compile(un.no_grad()(training.model.eval().forward))
    assert words[backend] in forward.ir(training.x, stage=stage)
    assert "0 program(s)" in forward.explain()


def test_a_function_whose_results_carry_gradients(backend):
    training = Training()
    training.model.eval()
    compiled = un.compile(training.model).lower(un.TensorSpec((ROWS, WIDTH))).compile()
    assert compiled.cost_analysis()["flops"] >= PRODUCTS
    compiled(training.x).sum().backward()
    got = training.model[0].weight.grad.numpy().copy()
    training.optimizer.zero_grad()
    training.model(training.x).sum().backward()
    # float32 sums of 32 rows in another order
    np.testing.assert_allclose(got, training.model[0].weight.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_a_spec_that_requires_grad(backend):
    def f(x):
        (x * x).sum().backward()

    compiled = un.compile(f).lower(un.TensorSpec((3,), requires_grad=True)).compile()
    x = un.tensor([1.0, 2.0, 3.0], requires_grad=True)
    compiled(x)
    np.testing.assert_array_equal(x.grad.numpy(), [2, 4, 6])


def test_other_arguments_are_refused(backend):
    compiled = un.compile(lambda x, flag: x * 2 if flag else x).lower(un.TensorSpec((3,)), True).compile()
    np.testing.assert_array_equal(compiled(un.ones(3), True).numpy(), [2, 2, 2])
    with pytest.raises(errors.CompileError, match=r"\(4,\)"):
        compiled(un.ones(4), True)
    with pytest.raises(errors.CompileError, match="True to False"):
        compiled(un.ones(3), False)


def test_what_the_program_read_from_python_is_looked_at(backend):
    model = nn.Dropout(0.5)
    compiled = un.compile(model).lower(un.TensorSpec((3,))).compile()
    model.eval()
    with pytest.raises(errors.CompileError, match="training changed"):
        compiled(un.ones(3))


def test_bad_requests_are_refused(backend):
    f = un.compile(lambda x: x + 1)
    with pytest.raises(errors.ArgumentError, match="stage must be one of"):
        f.ir(un.TensorSpec((2,)), stage="assembly")
    with pytest.raises(errors.ArgumentError, match="lengths"):
        un.TensorSpec((-1,))
    with pytest.raises(errors.OperandError, match="dtype"):
        un.TensorSpec((1,), "float32")
    with pytest.raises(errors.TracedValueError):
        un.compile(lambda x: x if x.sum() > 0 else -x).lower(un.TensorSpec((2,)))


@pytest.mark.parametrize("dtype", [un.float64, un.bfloat16, un.int64, un.bool], ids=lambda d: d.name)
def test_every_dtype_lowers(backend, dtype):
    compiled = un.compile(lambda x: x.to(un.float32).sum()).lower(un.TensorSpec((4,), dtype)).compile()
    assert compiled(un.ones(4, dtype=dtype)).item() == 4


def test_jax_lowers_a_training_step_for_a_tpu_that_is_not_here():
    with un.backend("jax"):
        training = Training()
        step = un.compile(training.step)
        lowered = step.lower(un.TensorSpec((ROWS, WIDTH)), training.y, platform="tpu")
        text = lowered.as_text()
        assert "stablehlo.dot_general" in text
        assert training.step(training.x, training.y).item() > 0
        if importlib.util.find_spec("libtpu") is None:
            with pytest.raises(errors.CompileError, match="pip install libtpu"):
                lowered.compile()
        else:
            compiled = lowered.compile()
            assert compiled.memory_analysis()["peak"] > 0
            assert compiled.cost_analysis()["flops"] >= PRODUCTS
            with pytest.raises(errors.CompileError, match="compiled for a tpu"):
                compiled(training.x, training.y)
        for_cuda = step.lower(un.TensorSpec((ROWS, WIDTH)), training.y, platform="cuda")
        assert "stablehlo.dot_general" in for_cuda.as_text()
        with pytest.raises(errors.CompileError, match="there is no cuda here"):
            for_cuda.compile()


@pytest.mark.parametrize("name", ["torch", "tensorflow"])
def test_other_backends_refuse_another_platform(name):
    with un.backend(name), pytest.raises(errors.CompileError, match="JAX's alone"):
        un.compile(lambda x: x).lower(un.ones(3), platform="tpu")


@pytest.mark.parametrize(
    ("name", "flops"), [("scan", 3 * 2 * 4**3), ("while_loop", 2 * 4**3), ("cond", 2 * 2 * 4**3)]
)
def test_torch_counts_what_is_within_control_flow(name, flops):
    from unified.backends.torch.lowering import costs

    with un.backend("torch"):
        weight = un.ones(4, 4)
        ways = {
            "scan": lambda x: un.scan(lambda carry, row: (carry @ weight, row), x, un.ones(3, 2)),
            "while_loop": lambda x: un.while_loop(lambda value: value.norm() < 10, lambda value: value @ weight, x),
            "cond": lambda x: un.cond(x.sum() > 0, lambda x: x @ weight, lambda x: x @ weight @ weight, (x,)),
        }
        lowered = un.compile(ways[name]).lower(un.ones(4, 4))
        assert costs(lowered._lowering._graph)["flops"] == flops


@pytest.mark.parametrize("broken", ["", "source", "library"])
def test_torch_compiles_the_kernels_of_a_program_together(monkeypatch, broken):
    """In one source, and each alone where the C++ compiler does not take that, or its result was cut short."""
    lowering = importlib.import_module("unified.backends.torch.lowering")
    original, counts = lowering._joined, []

    def joined(kernels, loaders):
        counts.append(len(kernels))
        return original(kernels, loaders) + ("\n#error" if broken == "source" else "")

    def cut_short() -> None:
        raise ImportError("file too short")

    def function(x):
        return ((x.sin() @ x).cos() @ x).tanh()

    monkeypatch.setattr(lowering, "_joined", joined)
    if broken == "library":
        load = lowering._load
        monkeypatch.setattr(lowering, "_load", lambda *given: load(*given) and cut_short)
    with un.backend("torch"):
        x = un.randn(17, 17)
        np.testing.assert_allclose(un.compile(function)(x).numpy(), function(x).numpy(), 1e-4, 1e-5)
    assert counts == [3]


def test_the_peak_of_a_sequence_of_steps():
    chain = [Step(4, []), Step(8, [0]), Step(2, [1]), Step(8, [2]), Step(1, [3])]
    assert peak(chain, [0], [4]) == 4 + 8 + 2
    residual = [*chain[:4], Step(1, [3, 1])]
    assert peak(residual, [0], [4]) == 4 + 8 + 2 + 8
    view = [Step(4, []), Step(8, [0]), Step(0, [1], alias=True), Step(16, []), Step(1, [2])]
    assert peak(view, [0], [4]) == 4 + 8 + 16


@pytest.mark.parametrize(
    "function",
    [
        lambda x: un.special.i0(x.double()),
        lambda x: un.special.gammainc(x.double(), x.double() + 1),
        lambda x: (x.long() * 2**40).sum() + un.arange(3, dtype=un.float64).sum() * x.double().cumsum(0),
    ],
    ids=["i0", "gammainc", "integers"],
)
def test_64_bits_within_a_program_of_32(backend, function):
    x = un.tensor([0.5, 1.5])
    found, wanted = un.compile(function)(x), function(x)
    assert found.dtype is wanted.dtype is un.float64
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-13)  # one or two units in the last place


def test_a_report_runs_no_python_of_the_function_again(backend):
    seen = []

    class Chatty(nn.Module):
        def forward(self, x):
            seen.append(self.scale)
            return x * self.scale

    module = Chatty()
    module.scale = 2.0
    compiled = un.compile(module)
    lowered = compiled.lower(un.ones(3))
    compiled(un.ones(3))
    count = len(seen)
    module.scale = 3.0
    assert "1 program(s)" in compiled.explain()
    assert compiled.explain().programs[0]["bytes accessed"] is not None
    assert lowered.compile().memory_analysis()["peak"] > 0
    assert len(seen) == count


def test_a_report_of_a_program_that_xla_lacks_an_op_of():
    with un.backend("tensorflow"):
        compiled = un.compile(lambda x: un.linalg.eigvals(x))
        compiled(un.ones(2, 2))
        assert "1 program(s)" in compiled.explain()
        assert compiled.explain().programs[0]["flops"] is None

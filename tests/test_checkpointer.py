"""A training run as a folder of checkpoints: what is kept, what comes back, what is passed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import unified as un
from unified import nn, optim


class _Run:
    """A small run with all that a checkpoint holds."""

    def __init__(self, folder: Path, **options: Any) -> None:
        un.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.optimizer = optim.AdamW(self.model.parameters(), lr=0.1)
        self.schedule = optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 10)
        self.saved = un.io.Checkpointer(
            folder, model=self.model, optimizer=self.optimizer, scheduler=self.schedule,
            generator=un.default_generator(), **options,
        )  # fmt: skip

    def step(self) -> float:
        self.optimizer.zero_grad()
        loss = self.model(un.rand(16, 4)).square().mean()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return float(loss.item())


def _steps(folder: Path) -> list[int]:
    return [int(path.name.split(".")[0].removeprefix("step-")) for path in un.io.Checkpointer(folder).checkpoints()]


def test_a_run_goes_on_where_it_was_on_another_backend(backend: str, tmp_path: Path) -> None:
    """float32 sums in another order, grown over four steps of Adam: 1e-4 relative."""
    first = _Run(tmp_path)
    for _ in range(3):
        first.step()
    first.saved.save(3, position={"epoch": 1, "batch": 2})
    expected = [first.step() for _ in range(4)]
    for target in un.available_backends():
        with un.backend(target):
            second = _Run(tmp_path)
            second.step()
            found = second.saved.restore_latest()
            assert found is not None
            assert (found.step, found.position, found.metric) == (3, {"epoch": 1, "batch": 2}, None)
            assert [second.step() for _ in range(4)] == pytest.approx(expected, rel=1e-4)
            assert second.schedule.get_last_lr() == pytest.approx(first.schedule.get_last_lr())


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_last_few_and_the_best_are_kept(sharded: bool, asynchronous: bool, tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    options: dict[str, Any] = {"max_shard_bytes": 8} if sharded else {}
    saved = un.io.Checkpointer(tmp_path, keep=2, best="min", model=model, **options)
    for step, metric in enumerate([3.0, 1.0, float("nan"), 2.0, un.tensor(1.5), 4.0]):
        with un.no_grad():
            model.bias.fill_(step)
        (saved.save_async if asynchronous else saved.save)(step, metric=metric)
    saved.wait()
    assert _steps(tmp_path) == [1, 4, 5]
    again = un.io.Checkpointer(tmp_path, keep=2, best="min", model=model)
    best = again.restore_best()
    assert best is not None
    assert (best.step, best.metric, model.bias.tolist()) == (1, 1.0, [1, 1])
    latest = again.restore_latest()
    assert latest is not None
    assert (latest.step, model.bias.tolist()) == (5, [5, 5])
    highest = un.io.Checkpointer(tmp_path, best="max", model=model).restore_best()
    assert highest is not None
    assert highest.step == 5


def test_unfinished_ones_do_not_count_and_damaged_ones_are_passed_over(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    saved = un.io.Checkpointer(tmp_path, model=model)
    assert saved.restore_latest() is None
    for step in (1, 2):
        saved.save(step)
    path = tmp_path / "step-000000000002.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    (tmp_path / "step-000000000003.safetensors").mkdir()  # its shards were being written
    (tmp_path / ".step-000000000004.safetensors.0.unfinished").write_bytes(b"half")
    with pytest.warns(UserWarning, match="step-000000000002.safetensors is damaged"):
        found = un.io.Checkpointer(tmp_path, model=model).restore_latest()
    assert found is not None
    assert found.step == 1
    assert not list(tmp_path.glob(".*"))


def test_a_checkpoint_that_does_not_fit_changes_nothing(backend: str, tmp_path: Path) -> None:
    def parts(width: int, model: nn.Module) -> dict[str, Any]:
        return {"model": model, "optimizer": optim.AdamW(nn.Linear(2, width).parameters())}

    un.io.Checkpointer(tmp_path, **parts(3, nn.Linear(2, 2))).save(1)
    model = nn.Linear(2, 2)
    before = model.weight.tolist()
    with pytest.raises(un.errors.StateDictError, match="exp_avg"):
        un.io.Checkpointer(tmp_path, **parts(4, model)).restore_latest()
    assert model.weight.tolist() == before  # though the model alone would have fitted
    with pytest.raises(un.errors.StateDictError, match="holds no ema; it holds model, optimizer"):
        un.io.Checkpointer(tmp_path, ema=model).restore_latest()


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    for options in ({"keep": 0}, {"best": "lowest"}):
        with pytest.raises(un.errors.ArgumentError, match="Checkpointer"):
            un.io.Checkpointer(tmp_path, **options)  # type: ignore[arg-type]
    with pytest.raises(un.errors.OperandError, match="model is a dict"):
        un.io.Checkpointer(tmp_path, model={})
    with pytest.raises(un.errors.ArgumentError, match="step"):
        un.io.Checkpointer(tmp_path).save(-1)
    with pytest.raises(un.errors.ArgumentError, match="best='min'"):
        un.io.Checkpointer(tmp_path).restore_best()

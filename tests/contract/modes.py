"""Whether operations record: ``no_grad``, ``enable_grad``, ``set_grad_enabled``, ``inference_mode``, anomalies."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from tests.contract.row import A, B, Run, Theme, leaf, refusal

row = Theme(__name__)


@row
def no_grad_records_nothing(lib: Any, run: Run) -> Any:
    """Within ``no_grad`` results do not require grad, and ``is_grad_enabled`` says so."""
    x = leaf(lib, A)

    def rules() -> Any:
        with lib.no_grad():
            inside = (x * 2).requires_grad, lib.is_grad_enabled()
        return inside, (x * 2).requires_grad, lib.is_grad_enabled()

    return run(rules)()


@row
def no_grad_cuts_the_gradient(lib: Any, run: Run) -> Any:
    """What was computed under ``no_grad`` is a constant."""
    x = leaf(lib, A)

    def step() -> None:
        with lib.no_grad():
            target = x * 3
        ((x - target) ** 2).sum().backward()

    run(step)()
    return x.grad


@row
def no_grad_cuts_a_forward_that_is_differentiated_later(lib: Any, run: Run) -> Any:
    """So is it where backward comes after the function."""
    x = leaf(lib, A)

    def forward() -> Any:
        with lib.no_grad():
            target = x * 3
            with lib.enable_grad():
                live = x * 5
        return (x * target * live).sum()

    run(forward)().backward()
    return x.grad


@row
def enable_grad_within_no_grad(lib: Any, run: Run) -> Any:
    """``enable_grad`` records again, and the outer mode comes back."""
    x = leaf(lib, A)

    def rules() -> Any:
        with lib.no_grad():
            with lib.enable_grad():
                inner = (x * 2).requires_grad
            return inner, (x * 2).requires_grad, lib.is_grad_enabled()

    return run(rules)(), lib.is_grad_enabled()


@row
def modes_are_decorators(lib: Any, run: Run) -> Any:
    """``@no_grad()`` and ``@enable_grad()``, also on a function that calls itself."""
    x = leaf(lib, A)

    @lib.no_grad()
    def frozen(depth: int = 2) -> Any:
        return frozen(depth - 1) if depth else (x * 2).requires_grad

    @lib.no_grad()
    def outer() -> Any:
        @lib.enable_grad()
        def live() -> Any:
            return (x * 2).requires_grad

        return live(), (x * 2).requires_grad

    return run(lambda: (frozen(), outer(), (x * 2).requires_grad))(), frozen.__name__


@row(needs="mode_decorators")
def modes_are_decorators_without_parentheses(lib: Any, run: Run) -> Any:
    """``@no_grad`` and ``@enable_grad`` alone."""
    x = leaf(lib, A)

    @lib.no_grad
    def frozen() -> Any:
        return (x * 2).requires_grad

    @lib.enable_grad
    def live() -> Any:
        return (x * 2).requires_grad

    def rules() -> Any:
        with lib.no_grad():
            return frozen(), live(), lib.is_grad_enabled()

    return run(rules)(), frozen.__name__


@row(needs="mode_decorators")
def a_decorated_generator_keeps_its_mode_to_itself(lib: Any, run: Run) -> Any:
    """A generator under ``@no_grad()`` runs in that mode; its caller, between two values, does not."""
    x = leaf(lib, A)

    @lib.no_grad()
    def numbers() -> Any:
        for _ in range(2):
            yield (x * 2).requires_grad, lib.is_grad_enabled()

    def rules() -> Any:
        return [(inside, (x * 2).requires_grad, lib.is_grad_enabled()) for inside in numbers()]

    return run(rules)()


@row(needs="mode_decorators")
def a_decorated_generator_is_sent_to(lib: Any, run: Run) -> Any:
    """``send``, ``throw`` and ``return`` of a decorated generator work as without the decorator."""

    @lib.no_grad()
    def conversation() -> Any:
        heard = []
        try:
            while True:
                heard.append((yield lib.is_grad_enabled()))
        except KeyError:
            return heard

    def talk() -> Any:
        generator = conversation()
        found = [next(generator), generator.send("one"), generator.send("two")]
        try:
            generator.throw(KeyError())
        except StopIteration as stop:
            found.append(stop.value)
        return found

    return run(talk)()


@row
def the_mode_comes_back_after_an_exception(lib: Any, run: Run) -> Any:
    """An exception inside leaves the outer mode as it was."""
    x = leaf(lib, A)

    def rules() -> Any:
        with contextlib.suppress(ZeroDivisionError), lib.no_grad():
            raise ZeroDivisionError
        return (x * 2).requires_grad, lib.is_grad_enabled()

    return run(rules)()


@row
def one_mode_object_may_be_entered_again(lib: Any, run: Run) -> Any:
    """A mode object serves any number of blocks, one after the other."""

    def rules() -> Any:
        mode, found = lib.no_grad(), []
        for _ in range(2):
            with mode:
                found.append(lib.is_grad_enabled())
            found.append(lib.is_grad_enabled())
        return found

    return run(rules)()


@row
def set_grad_enabled_is_a_function_and_a_context(lib: Any, run: Run) -> Any:
    """``set_grad_enabled`` acts at once; as a context manager, until the block ends."""
    x = leaf(lib, A)

    def rules() -> Any:
        lib.set_grad_enabled(False)
        try:
            plain = (x * 2).requires_grad
        finally:
            lib.set_grad_enabled(True)
        found = [plain, (x * 2).requires_grad]
        for flag in (True, False):
            with lib.set_grad_enabled(flag):
                found.append((x * 2).requires_grad)
            found.append(lib.is_grad_enabled())
        return found

    return run(rules)()


@row(needs="mode_decorators")
def set_grad_enabled_is_a_decorator(lib: Any, run: Run) -> Any:
    """``@set_grad_enabled(False)`` holds within the function alone, not from where it is written."""
    x = leaf(lib, A)

    @lib.set_grad_enabled(False)
    def frozen() -> Any:
        return (x * 2).requires_grad

    def rules() -> Any:
        return lib.is_grad_enabled(), frozen(), lib.is_grad_enabled()

    return run(rules)()


@row
def backward_under_no_grad(lib: Any, run: Run) -> Any:
    """What was recorded may be walked under ``no_grad``."""
    x = leaf(lib, A)

    def step() -> None:
        loss = (x * x).sum()
        with lib.no_grad():
            loss.backward()

    run(step)()
    return x.grad


@row
def a_leaf_made_under_no_grad_requires_grad(lib: Any, run: Run) -> Any:
    """The mode is about operations; a leaf asks for itself."""
    with lib.no_grad():
        x = leaf(lib, A)
    run(lambda: (x * x).sum().backward())()
    return x.requires_grad, x.is_leaf, x.grad


@row
def an_update_under_no_grad_keeps_the_leaf(lib: Any, run: Run) -> Any:
    """Writing a leaf in place under ``no_grad`` changes its value and nothing else."""
    x = leaf(lib, A)

    def step() -> Any:
        with lib.no_grad():
            x.sub_(1)
            x.mul_(2)
        return x.is_leaf, x.requires_grad

    kept = run(step)()
    run(lambda: (x * x).sum().backward())()
    return kept, x, x.grad


@row
def the_mode_of_the_caller_holds_inside_a_function(lib: Any, run: Run) -> Any:
    """A function called under ``no_grad`` records nothing; called again, it does."""
    x = leaf(lib, A)
    double = run(lambda t: t * 2)
    with lib.no_grad():
        first = double(x).requires_grad
    return first, double(x).requires_grad


@row(compiled="the thread is the caller's: it calls the compiled function")
def the_mode_is_one_per_thread(lib: Any, run: Run) -> Any:
    """A new thread records, whatever the mode of the one that started it."""
    x = leaf(lib, A)
    double = run(lambda t: t * 2)
    found = []
    with lib.no_grad():
        thread = threading.Thread(target=lambda: found.append((lib.is_grad_enabled(), double(x).requires_grad)))
        thread.start()
        thread.join()
        found.append((lib.is_grad_enabled(), double(x).requires_grad))
    return found


@row(needs="inference_mode")
def inference_mode_records_nothing(lib: Any, run: Run) -> Any:
    """``inference_mode`` is ``no_grad`` that says so."""
    x = leaf(lib, A)

    def rules() -> Any:
        with lib.inference_mode():
            y = x * 2
            inside = y.requires_grad, lib.is_grad_enabled(), lib.is_inference_mode_enabled()
        return inside, lib.is_inference_mode_enabled(), lib.is_grad_enabled()

    return run(rules)()


@row(needs="inference_mode")
def inference_mode_is_a_decorator(lib: Any, run: Run) -> Any:
    """With and without parentheses; ``inference_mode(False)`` switches it off."""
    x = leaf(lib, A)

    @lib.inference_mode()
    def one() -> Any:
        return lib.is_inference_mode_enabled(), (x * 2).requires_grad

    @lib.inference_mode
    def two() -> Any:
        with lib.inference_mode(False):
            off = lib.is_inference_mode_enabled(), (x * 2).requires_grad
        return lib.is_inference_mode_enabled(), off

    return run(lambda: (one(), two(), lib.is_inference_mode_enabled()))()


def _afterwards(mode: str) -> Any:
    def used(lib: Any, run: Run) -> Any:
        """What was made in ``inference_mode`` is an ordinary Tensor afterwards: no view can have changed it."""
        x = leaf(lib, A)
        with getattr(lib, mode)():
            y = lib.tensor(B) * 2
        multiply = run(lambda s, t: (s * t).sum())
        multiply(x, y).backward()
        y.add_(1)
        return x.grad, y, y.requires_grad_().requires_grad

    used.__name__ = "an_inference_tensor_is_an_ordinary_one_afterwards"
    return used


row(
    needs="inference_mode",
    oracle=_afterwards("no_grad"),
    compiled="the Tensor is made outside, and an argument of what is compiled",
)(_afterwards("inference_mode"))


@row(needs="detect_anomaly", says=("sqrt", "modes.py:"))
def detect_anomaly_names_the_op_whose_gradient_is_nan(lib: Any, run: Run) -> Any:
    """Under ``detect_anomaly`` a NaN that appears in backward raises, with the op and the line of the forward."""
    x = leaf(lib, [0.0, 4.0])

    def step(t: Any) -> None:
        (t * 0).sqrt().mul(0.0).sum().backward()

    with lib.autograd.detect_anomaly():
        found = refusal(lambda: run(step)(x))
    return found, x.grad


@row(needs="detect_anomaly")
def detect_anomaly_lets_a_sound_backward_pass(lib: Any, run: Run) -> Any:
    """Nothing changes where nothing is wrong; ``check_nan=False`` looks for no NaN."""
    x = leaf(lib, [0.0, 4.0])
    with lib.autograd.detect_anomaly():
        run(lambda: (x * x).sum().backward())()
    with lib.autograd.detect_anomaly(check_nan=False):
        run(lambda: (x * 0).sqrt().mul(0.0).sum().backward())()
    with lib.autograd.set_detect_anomaly(False):
        run(lambda: (x * x).sum().backward())()
    return x.grad

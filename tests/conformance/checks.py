"""What is asked of one OpInfo: values, gradients, second order, transforms, in-place variants, errors, programs."""

from __future__ import annotations

import functools
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

import unified as un
from tests.conformance import compare, database, gradchecks, handwritten, oracle, spelling, transforms
from tests.conformance.translate import Translator, flat


class Outcome(NamedTuple):
    """One check of one OpInfo: how many samples it saw, and what went wrong with the first that failed."""

    samples: int
    failure: str | None


class FailedError(AssertionError):
    """A sample's result is not PyTorch's."""


def run(check: str, info: Any, dtype: torch.dtype, seed: int, limit: int) -> Outcome:
    """Runs ``check`` over up to ``limit`` samples, on the current backend."""
    count = 0
    try:
        ours = spelling.ours(info)
        for sample in _samples(check, info, dtype, seed, limit):
            count += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    CHECKS[check](info, ours, sample, dtype)
                except FailedError as failure:
                    return Outcome(count, f"{failure} of {_summary(sample)}")
                except Exception as error:
                    return Outcome(count, f"{_explained(error)} of {_summary(sample)}")
    except spelling.NotThereError as missing:
        return Outcome(count, str(missing))
    return Outcome(count, None)


def _samples(check: str, info: Any, dtype: torch.dtype, seed: int, limit: int) -> Any:
    if check == "surface":
        return [None]
    if check == "errors":
        torch.manual_seed(seed)
        refused = info.error_inputs("cpu") if info.error_inputs_func is not None else []
        return [error for error in refused if database.expressible(error.sample_input)]
    if check == "inplace":
        if info.get_inplace() is None:
            return []
        drawn = database.samples(info, dtype, False, seed, 2 * limit)
        return [s for s in drawn if not s.broadcasts_input][:limit]
    if check in gradchecks.NAMES:
        return gradchecks.samples(info, dtype, seed, limit)
    if check == "vmap":
        return transforms.batches(info, dtype, seed, limit)
    return database.samples(info, dtype, check in NEED_GRAD, seed, limit)


NEED_GRAD = ("grad", "gradgrad", "jvp")
"""Checks of what can be differentiated, in the dtypes of the values."""


def _brief(message: str, length: int) -> str:
    return "; ".join(line.strip() for line in message.splitlines() if line.strip())[:length]


def _summary(sample: Any) -> str:
    if sample is None:
        return "the name"
    return _brief(getattr(sample, "sample_input", sample).summary(), 300)


def _explained(error: BaseException) -> str:
    """What was raised, and in which line of ours: where one starts to look."""
    while error.__cause__ is not None and isinstance(error, un.errors.OpError):
        error = error.__cause__
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/site-packages/" not in f.filename]
    place = f"{'/'.join(frames[-1].filename.split('/')[-3:])}:{frames[-1].lineno}: " if frames else ""
    return f"{place}{type(error).__name__}: {_brief(str(error), 300)}"


def _compare(
    found: list[Any], expected: list[Any], precise: Callable[[], list[Any]], what: str, loosen: float = 1.0
) -> None:
    """Raises FailedError unless all results agree; asks for the 64-bit word only where one does not at once."""
    if len(found) != len(expected):
        raise FailedError(f"{what}: {len(found)} results for {len(expected)}")
    exact: list[Any] | None = None
    for index, (one, other) in enumerate(zip(found, expected, strict=True)):
        apart = compare.difference(one, other, loosen=loosen)
        if apart is not None:
            if exact is None:
                exact = _or_nothing(precise)
            if len(exact) == len(expected) and isinstance(exact[index], torch.Tensor):
                apart = compare.difference(one, other, exact[index], loosen)
        if apart is not None:
            raise FailedError(f"{what} {index}: {apart}")


def _or_nothing(precise: Callable[[], list[Any]]) -> list[Any]:
    try:
        return precise()
    except RuntimeError:  # the oracle has no 64-bit kernel for these arguments: there is no second opinion
        return []


def _ours(ours: Callable[..., Any], sample: Any, translate: Translator) -> Any:
    return ours(translate(sample.input), *translate(sample.args), **translate(sample.kwargs))


# ---- values ---------------------------------------------------------------------------------------------------


def values(info: Any, ours: Callable[..., Any], sample: Any, dtype: torch.dtype) -> None:
    _values(info, ours, sample, dtype, _ours(ours, sample, Translator(dtype)))


def _values(info: Any, ours: Callable[..., Any], sample: Any, dtype: torch.dtype, found: Any) -> None:
    theirs = oracle.function_of(info, ours, sample, dtype)
    expected = oracle.call(theirs, sample)
    if theirs is not info.op:
        _same_shapes(flat(expected), flat(oracle.call(info.op, sample)))
    pointed_to = oracle.pointed_to(info, sample)

    def process(result: Any) -> list[Any]:
        return flat(pointed_to(sample.output_process_fn_grad(result)))

    def precise() -> list[Any]:
        return process(oracle.call(theirs, oracle.wide(sample))) if theirs is info.op else []  # a second draw differs

    _compare(process(found), process(expected), precise, "result", compare.LOOSER.get(info.name, 1.0))


def _same_shapes(found: list[Any], expected: list[Any]) -> None:
    for one, other in zip(found, expected, strict=True):
        if isinstance(other, torch.Tensor) and one.shape != other.shape:
            raise FailedError(f"drew shape {tuple(one.shape)} for {tuple(other.shape)}")


_UNNAMED = (lambda: None).__name__
"""The name of an in-place variant that is no method, but the function itself with ``inplace=True``."""


def inplace(info: Any, ours: Callable[..., Any], sample: Any, dtype: torch.dtype) -> None:
    """The variant with the trailing underscore, on a copy: the same value, in the Tensor it is called on."""
    method = info.get_inplace()
    name = getattr(method, "__name__", _UNNAMED)  # a partial application has none
    theirs = sample.input.clone()
    try:
        method(theirs, *sample.args, **sample.kwargs)
    except RuntimeError:
        return  # PyTorch refuses this sample in place: its result would need another dtype or shape
    translate = Translator(dtype)
    target = translate(sample.input).clone()
    if name == _UNNAMED:
        found = ours(target, *translate(sample.args), **translate(sample.kwargs), inplace=True)
    elif not hasattr(target, name):
        raise FailedError(f"un.Tensor has no {name}")
    else:
        found = getattr(target, name)(*translate(sample.args), **translate(sample.kwargs))
    if found is not target:
        raise FailedError(f"{name} does not return the Tensor it is called on")
    if info.name not in spelling.RANDOM:
        _compare([target], [theirs], list, name)


# ---- gradients -------------------------------------------------------------------------------------------------


def grad(info: Any, ours: Callable[..., Any], sample: Any, dtype: torch.dtype) -> None:
    """``.backward()`` from seeded cotangents leaves PyTorch's gradients in every leaf."""
    theirs, leaves = oracle.function_of(info, ours, sample, dtype), oracle.inputs(sample)
    results = oracle.results_to_differentiate(info, theirs, sample)
    places = [i for i, r in enumerate(results) if isinstance(r, torch.Tensor) and r.requires_grad]
    if not places:
        return
    outputs = [results[i] for i in places]
    cotangents = oracle.cotangents(outputs, 1)
    expected = torch.autograd.grad(outputs, leaves, cotangents, allow_unused=True)
    translate = Translator(dtype)
    found = _our_results(info, ours, sample, translate, places)
    un.autograd.backward(found, [translate(c) for c in cotangents])

    def precise() -> list[Any]:
        sample_ = oracle.wide(sample)
        results_ = oracle.results_to_differentiate(info, theirs, sample_)
        outputs_ = [results_[i] for i in places]
        drawn = oracle.cotangents(outputs_, 1)
        return _filled(torch.autograd.grad(outputs_, oracle.inputs(sample_), drawn, allow_unused=True), leaves)

    _compare_gradients([translate(leaf).grad for leaf in leaves], expected, leaves, translate, precise, "gradient")


def gradgrad(info: Any, ours: Callable[..., Any], sample: Any, dtype: torch.dtype) -> None:
    """The gradient of a gradient, where PyTorch has one."""
    if not info.supports_gradgrad:
        return
    theirs, leaves = oracle.function_of(info, ours, sample, dtype), oracle.inputs(sample)
    results = oracle.results_to_differentiate(info, theirs, sample)
    places = [i for i, r in enumerate(results) if isinstance(r, torch.Tensor) and r.requires_grad]
    if not places:
        return
    outputs = [results[i] for i in places]
    first = oracle.cotangents(outputs, 1)
    slopes = torch.autograd.grad(outputs, leaves, first, allow_unused=True, create_graph=True)
    curved = [i for i, slope in enumerate(slopes) if slope is not None and slope.requires_grad]
    if not curved:
        return
    second = oracle.cotangents([slopes[i] for i in curved], 2)
    try:
        expected = torch.autograd.grad([slopes[i] for i in curved], leaves, second, allow_unused=True)
    except RuntimeError:  # PyTorch itself has no second derivative for these arguments
        return
    translate = Translator(dtype)
    found = _our_results(info, ours, sample, translate, places)
    inputs = [translate(leaf) for leaf in leaves]
    ours_first = un.autograd.grad(found, inputs, [translate(c) for c in first], allow_unused=True, create_graph=True)
    kept = [(ours_first[i], c) for i, c in zip(curved, second, strict=True)]
    kept = [(slope, translate(c)) for slope, c in kept if slope is not None and slope.requires_grad]
    found_second: list[Any] = [None] * len(inputs)
    if kept:
        found_second = list(un.autograd.grad([k[0] for k in kept], inputs, [k[1] for k in kept], allow_unused=True))

    def precise() -> list[Any]:
        sample_ = oracle.wide(sample)
        results_ = oracle.results_to_differentiate(info, theirs, sample_)
        leaves_, outputs_ = oracle.inputs(sample_), [results_[i] for i in places]
        slopes_ = torch.autograd.grad(
            outputs_, leaves_, oracle.cotangents(outputs_, 1), allow_unused=True, create_graph=True
        )
        chosen = [slopes_[i] for i in curved]
        drawn = oracle.cotangents(chosen, 2)
        return _filled(torch.autograd.grad(chosen, leaves_, drawn, allow_unused=True), leaves)

    _compare_gradients(found_second, expected, leaves, translate, precise, "second gradient")


def _our_results(
    info: Any, ours: Callable[..., Any], sample: Any, translate: Translator, places: list[int]
) -> list[un.Tensor]:
    wrapped = where_valid(info, ours, sample, translate)
    results = flat(sample.output_process_fn_grad(_ours(wrapped, sample, translate)))
    outputs = [results[i] for i in places]
    for place, output in zip(places, outputs, strict=True):
        if not output.requires_grad:
            raise FailedError(f"result {place} does not require grad")
    return outputs


def where_valid(info: Any, ours: Callable[..., Any], sample: Any, translate: Translator) -> Callable[..., Any]:
    """``ours`` in the database's wrapper, whose counterpart for masked results takes tensors of PyTorch alone."""
    if not info.name.startswith("masked."):
        return spelling.wrapped(info, ours)
    ones = info.gradcheck_wrapper(_named_ones(info.op), sample.input, *sample.args, **sample.kwargs)
    return lambda *args, **kwargs: un.where(translate(ones != 0), ours(*args, **kwargs), 0)


def _named_ones(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def ones(*args: Any, **kwargs: Any) -> torch.Tensor:
        return torch.ones_like(function(*args, **kwargs))

    return ones


def _filled(gradients: Any, leaves: list[torch.Tensor]) -> list[torch.Tensor]:
    return [oracle.zero_for_none(g, leaf) for g, leaf in zip(gradients, leaves, strict=True)]


def _compare_gradients(
    found: list[Any],
    expected: Any,
    leaves: list[torch.Tensor],
    translate: Translator,
    precise: Callable[[], list[Any]],
    what: str,
) -> None:
    mine = [un.zeros_like(translate(leaf)) if g is None else g for g, leaf in zip(found, leaves, strict=True)]
    _compare(mine, _filled(expected, leaves), precise, what)


def gradcheck(info: Any, ours: Callable[..., Any], sample: Any, dtype: torch.dtype) -> None:
    """Gradients are finite differences."""
    func, inputs = gradchecks.program(info, ours, sample, dtype, where_valid)
    gradchecks.check("gradcheck", func, inputs, info.gradcheck_nondet_tol)


def gradgradcheck(info: Any, ours: Callable[..., Any], sample: Any, dtype: torch.dtype) -> None:
    """Second derivatives are finite differences of the first, where PyTorch has them."""
    if info.supports_gradgrad:
        func, inputs = gradchecks.program(info, ours, sample, dtype, where_valid)
        gradchecks.check("gradgradcheck", func, inputs, info.gradcheck_nondet_tol)


def handwritten_case(check: str, case: handwritten.Case) -> Outcome:
    """gradcheck or gradgradcheck of one handwritten case, on the current backend."""
    if check == "gradgradcheck" and un.get_backend() not in case.twice:
        return Outcome(0, None)
    try:
        gradchecks.check(check, case.function, case.inputs())
    except Exception as error:
        return Outcome(1, f"{_explained(error)} of shapes {case.shapes}")
    return Outcome(1, None)


def vmap(info: Any, ours: Callable[..., Any], batch: Any, dtype: torch.dtype) -> None:
    """A batch of examples gives what each gives alone."""
    for found, expected, precise, what in transforms.batched(info, ours, batch, dtype):
        _compare(found, expected, precise, what, compare.LOOSER.get(info.name, 1.0))


def jvp(info: Any, ours: Callable[..., Any], sample: Any, dtype: torch.dtype) -> None:
    """Tangents are pushed forward as PyTorch pushes them."""
    for found, expected, precise, what in transforms.pushed(info, ours, sample, dtype, where_valid):
        _compare(found, expected, precise, what, compare.LOOSER.get(info.name, 1.0))


# ---- errors and programs ---------------------------------------------------------------------------------------


def errors(info: Any, ours: Callable[..., Any], sample: Any, dtype: torch.dtype) -> None:
    """An input that PyTorch refuses is refused in our own words."""
    try:
        _ours(ours, sample.sample_input, Translator(dtype))
    except un.errors.UnifiedError:
        return
    except Exception as error:
        raise FailedError(f"{type(error).__name__} is not of our hierarchy: {_brief(str(error), 200)}") from None
    raise FailedError(f"accepted what PyTorch refuses ({_brief(str(sample.error_regex), 80)})")


def surface(info: Any, ours: Callable[..., Any], sample: None, dtype: torch.dtype) -> None:
    """The aliases, methods and in-place variants that PyTorch has of an op are there."""
    absent = [f"un.{alias.name}" for alias in info.aliases if not _exists(un, alias.name.removeprefix("torch."))]
    last = info.name.split(".")[-1]
    for name in [last, *[alias.name for alias in info.aliases if "." not in alias.name]]:
        if "." not in info.name and hasattr(torch.Tensor, name) and not hasattr(un.Tensor, name):
            absent.append(f"un.Tensor.{name}")
    variant = info.get_inplace()
    variant_name = getattr(variant, "__name__", _UNNAMED)
    if variant_name != _UNNAMED and not hasattr(un.Tensor, variant_name):
        absent.append(f"un.Tensor.{variant_name}")
    if absent:
        raise FailedError(f"there is no {', '.join(absent)}")


def _exists(root: Any, name: str) -> bool:
    try:
        functools.reduce(getattr, name.split("."), root)
    except AttributeError:
        return False
    return True


def compiled(info: Any, ours: Callable[..., Any], sample: Any, dtype: torch.dtype) -> None:
    """The same values out of one program of the backend's compiler, whose arguments are the sample's Tensors."""
    translate = Translator(dtype)
    given = (translate(sample.input), translate(sample.args), translate(sample.kwargs))

    @un.compile
    def program(input: Any, args: Any, kwargs: Any) -> Any:
        return ours(input, *args, **kwargs)

    _values(info, ours, sample, dtype, program(*given))


def compiled_together(named: Sequence[Sequence[tuple[Any, torch.dtype]]], seed: int, limit: int) -> list[int] | None:
    """How many samples of each name pass as parts of one program, or None if one of them does not."""
    parts = [
        (info, spelling.ours(info), sample, dtype, place)
        for place, entries in enumerate(named)
        for info, dtype in entries
        for sample in _samples("compiled", info, dtype, seed, limit)
    ]

    @un.compile
    def program(arguments: list[Any]) -> list[Any]:
        return [
            ours(input, *args, **kwargs)
            for (_, ours, *_), (input, args, kwargs) in zip(parts, arguments, strict=True)
        ]

    given = []
    for _, _, sample, dtype, _ in parts:
        translate = Translator(dtype)
        given.append((translate(sample.input), translate(sample.args), translate(sample.kwargs)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for (info, ours, sample, dtype, _), found in zip(parts, program(given), strict=True):
                _values(info, ours, sample, dtype, found)
    except Exception:  # whatever it is: each name on its own will tell
        return None
    return [sum(place == index for *_, place in parts) for index in range(len(named))]


CHECKS: dict[str, Callable[..., None]] = {
    "values": values, "grad": grad, "gradgrad": gradgrad, "inplace": inplace, "errors": errors, "compiled": compiled,
    "surface": surface, "gradcheck": gradcheck, "gradgradcheck": gradgradcheck,
    "vmap": vmap, "jvp": jvp,
}  # fmt: skip

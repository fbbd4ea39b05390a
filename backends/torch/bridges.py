"""PyTorch's own optimizers and modules over our parameters, and our Modules as PyTorch's."""

from __future__ import annotations

import torch
from torch.utils import _pytree as pytree

from unified.backends.protocol import Member, Natives, errors

natives = Natives()


def _copies(holder):
    return [param for group in holder.inner.param_groups for param in group["params"]]


@natives
def torch_optimizer_init(params, holder):
    copies = iter([torch.nn.Parameter(param.detach().clone()) for param in params])
    groups = [{**options, "params": [next(copies) for _ in range(count)]} for count, options in holder.layout]
    holder.inner = holder.kind(groups, **holder.options)
    return []


@natives
def torch_optimizer_step(params, grads, present, holder):
    copies = _copies(holder)
    for copy, param in zip(copies, params, strict=True):
        copy.data.copy_(param)
        copy.grad = None
    for index, grad in zip(present, grads, strict=True):
        copies[index].grad = grad.detach().clone()
    holder.inner.step()
    return [copy.detach().clone() for copy in copies]


def _same(one, other):
    """Whether both have the very same elements in memory."""
    return one.data_ptr() == other.data_ptr() and one.shape == other.shape and one.dtype is other.dtype


class _Memory:
    """One tensor of a module, whose memory ours has too; satisfies ``protocol.Cell``."""

    def __init__(self, tensor) -> None:
        self.tensor = tensor

    def read(self, held):
        if not _same(held, self.tensor):
            held.data = self.tensor.detach()
        return held

    def write(self, native) -> None:
        if not _same(native, self.tensor):
            self.tensor.data = native.detach()


class Adapted:
    """Satisfies ``protocol.AdaptedModule``."""

    def __init__(self, module) -> None:
        if not isinstance(module, torch.nn.Module):
            raise errors.OperandError(f"from_torch: takes a torch.nn.Module, not {type(module).__name__}")
        self.module = module
        self.parts = {name: part.training for name, part in module.named_modules(remove_duplicate=False)}
        named = [(*pair, True) for pair in module.named_parameters(remove_duplicate=False)]
        named += [(*pair, False) for pair in module.named_buffers(remove_duplicate=False)]
        cells = {id(tensor): _Memory(tensor) for _, tensor, _ in named}
        self.members = [
            Member(name, cells[id(tensor)], tensor.detach(), is_parameter, tensor.requires_grad)
            for name, tensor, is_parameter in named
        ]

    def set_training(self, part, mode) -> None:
        self.module.get_submodule(part).training = mode

    def program(self):
        parameters = [member.name for member in self.members if member.is_parameter]
        return parameters, [member.name for member in self.members if not member.is_parameter]


@natives
def native_module(parameters, buffers, args, call):
    args, kwargs = call.arguments(args)
    names, buffer_names = call.program
    fresh = [buffer.clone() for buffer in buffers]  # which the module may write to; batch norm does, and tells nobody
    state = dict(zip([*names, *buffer_names], [*parameters, *fresh], strict=True))
    result = torch.func.functional_call(call.adapted.module, state, args, kwargs)
    leaves, structure = pytree.tree_flatten(result)
    after = [state[name].detach() for name in buffer_names]
    return call.results(leaves, lambda values: pytree.tree_unflatten(values, structure), after)


class _Exported(torch.nn.Module):
    """A Module of ours among PyTorch's."""

    def __init__(self, state, run, set_training) -> None:
        super().__init__()
        self._run, self._set_training = run, set_training
        for name, (native, trains) in state.items():
            path, _, local = name.rpartition(".")
            owner = self
            for part in path.split(".") if path else ():
                if not hasattr(owner, part):
                    owner.add_module(part, torch.nn.Module())
                owner = getattr(owner, part)
            if trains is None:
                owner.register_buffer(local, native.detach())
            else:
                owner.register_parameter(local, torch.nn.Parameter(native.detach(), requires_grad=trains))

    def forward(self, *args, **kwargs):
        state = dict(self.named_parameters(remove_duplicate=False))
        buffers = dict(self.named_buffers(remove_duplicate=False))
        state |= {name: buffer.clone() for name, buffer in buffers.items()}  # graphs keep what this call writes over
        output, changed, _ = self._run(state, args, kwargs, None)
        with torch.no_grad():
            for name, native in changed.items():
                buffers[name].copy_(native)
        return output

    def train(self, mode=True):
        self._set_training(mode)
        return super().train(mode)


def export(state, run, set_training, random):
    """See ``protocol.ModuleExporter``."""
    module = _Exported(state, run, set_training)
    held = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return module, {name: _Memory(tensor) for name, tensor in held.items()}

"""A pretend accelerator: finds mixes of devices on a machine that has no accelerator.

Its tensors compute on the CPU, say that they are on ``pretend:0``, and refuse to meet tensors of
the CPU, as those of a GPU do (a 0-d tensor may meet any, and any may be indexed by the CPU's).
PyTorch's Python backend for PrivateUse1 gives the device its guards, so autograd and autocast work.
The device cannot be taken back: commands run on it in a process of their own,

    python -m tests.helpers.pretend_device COMMANDS.json

where the file lists ``[tool, arg, ...]``; printed is one line of JSON for each.
"""

from __future__ import annotations

import json
import sys
import traceback
import typing
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_NAME = "pretend"
_COPIES = {"aten::_to_copy", "aten::copy_", "aten::_copy_from"}
_HALF = ("conv2d", "linear", "matmul", "mm", "bmm", "addmm", "baddbmm")
_FULL = ("grid_sampler", "layer_norm", "softmax.int", "log_softmax.int")
_INDEXED = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
_setup_privateuseone_for_python_backend(_NAME)


class PretendTensor(Tensor):
    """A tensor of the device; ``held`` is the CPU's that computes for it."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> PretendTensor:
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=torch.device(_NAME, 0),
        )
        made.held = held
        return made

    def __repr__(self) -> str:
        return f"PretendTensor({self.held})"

    def tolist(self) -> list:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _compute(func, args, kwargs or {})


class _OfBool(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, PretendTensor) and value.dtype == torch.bool


class PretendBool(metaclass=_OfBool):
    """Masks on the device, as ``torch.cuda.BoolTensor`` are those on a GPU."""


class PretendMode(TorchDispatchMode):
    """Sends every operation through the device's rules, those that make tensors, too."""

    operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _compute(func, args, kwargs or {})


def _compute(func, args: tuple, kwargs: dict):
    name = func._schema.name
    leaves, _ = tree_flatten((args, kwargs))
    ours = any(isinstance(leaf, PretendTensor) for leaf in leaves)
    PretendMode.operations += ours
    if ours and name not in _COPIES and not _indexes(name, args):
        for leaf in leaves:
            cpu = isinstance(leaf, Tensor) and not isinstance(leaf, PretendTensor) and leaf.dim()
            if cpu and leaf.device.type == "cpu":
                raise RuntimeError(f"{name}: tensors on {_NAME} and on cpu meet at {_where()}")
    if name == "aten::_local_scalar_dense":
        return func(_held(args[0]))
    to = kwargs.get("device")
    if to is not None:
        ours = torch.device(to).type == _NAME
    elif name == "aten::copy_":
        ours = isinstance(args[0], PretendTensor)
    out = func(*tree_map(_held, args), **tree_map(_held, kwargs))
    if func._schema.is_mutable and args and isinstance(args[0], PretendTensor):
        if out is args[0].held:  # in place: the same object comes back
            return args[0]
    return tree_map(_ours, out) if ours else out


def _indexes(name: str, args: tuple) -> bool:
    return name in _INDEXED and isinstance(args[0], PretendTensor)


def _where() -> str:
    frames = [frame for frame in traceback.extract_stack() if "/negas/" in frame.filename]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"


def _held(leaf):
    if isinstance(leaf, PretendTensor):
        return leaf.held
    if isinstance(leaf, torch.device) and leaf.type == _NAME:
        return torch.device("cpu")
    return leaf


def _ours(leaf):
    wrap = isinstance(leaf, Tensor) and not isinstance(leaf, PretendTensor)
    return PretendTensor(leaf) if wrap else leaf


def _empty(size, *, dtype=None, memory_format=None, **_):
    memory_format = memory_format or torch.contiguous_format
    return PretendTensor(torch.empty(size, dtype=dtype, memory_format=memory_format))


def _empty_strided(size, stride, *, dtype=None, **_):
    return PretendTensor(torch.empty_strided(size, stride, dtype=dtype))


def _copy_from(source, target, non_blocking=False):
    _held(target).copy_(_held(source))
    return target


def _operation(name: str):
    base, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, base), overload or "default")


def _autocast(name: str):
    """What autocast does with an operation: half precision, or the full for a few."""
    key = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)

    def call(*args, **kwargs):
        def cast(leaf):
            real = isinstance(leaf, Tensor) and leaf.is_floating_point()
            dtype = torch.float32 if name in _FULL else torch.get_autocast_dtype(_NAME)
            return leaf.to(dtype) if real else leaf

        with torch._C._ExcludeDispatchKeyGuard(key):
            return _operation(name)(*tree_map(cast, args), **kwargs)

    return call


def install() -> list[torch.library.Library]:
    """Make it the device that MMEngine finds; what comes back must be kept."""
    library = torch.library.Library("aten", "IMPL")
    library.impl("empty.memory_format", _empty, "PrivateUse1")
    library.impl("empty_strided", _empty_strided, "PrivateUse1")
    library.impl("_copy_from", _copy_from, "PrivateUse1")
    for name in (*_HALF, *_FULL):
        library.impl(name, _autocast(name), "AutocastPrivateUse1")
    others = torch.library.Library("_", "IMPL")
    others.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    module = getattr(torch, _NAME)
    module.get_amp_supported_dtype = lambda: [torch.float16, torch.bfloat16]
    # Storages stay on the CPU: what a checkpoint holds is copied into the model's tensors.
    on_cpu = lambda storage, place: storage if place.startswith(_NAME) else None  # noqa: E731
    torch.serialization.register_package(0, lambda storage: None, on_cpu)
    # tensors of a Python backend have no version counter to do without
    torch.inference_mode = torch.no_grad

    import mmengine.device.utils as devices
    import mmengine.structures.instance_data as instances

    devices.DEVICE = _NAME
    instances.IndexType = typing.Union[instances.IndexType, PretendTensor]  # noqa: UP007
    instances.BoolTypeTensor = typing.Union[torch.BoolTensor, PretendBool]  # noqa: UP007
    return [library, others]


def main() -> None:
    """Run the commands of a file, one after the other."""
    commands = json.loads(Path(sys.argv[1]).read_text())
    import negas.compat

    negas.compat.install()
    kept = install()
    from .commands import call_tool

    for command in commands:
        PretendMode.operations = 0
        with PretendMode():
            code = call_tool(*command)
        print(json.dumps(dict(tool=command[0], code=code, operations=PretendMode.operations)))
        sys.stdout.flush()
    del kept


if __name__ == "__main__":
    main()

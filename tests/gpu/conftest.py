"""The device of every test of this room: a GPU where there is one, and otherwise one that is pretended.

`PretendedCuda` lets code for CUDA run on a machine without it: a tensor moved to `cuda:N` keeps its numbers in
the CPU's memory and reports the device `cuda:N`, and an operation on tensors of two devices fails as it does in
CUDA. The numbers are the CPU's own; the tests show that every tensor is moved to the right device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICES = 2
"""GPUs that are pretended."""

_aten = torch.ops.aten
# A CPU index is allowed on a CUDA tensor, and copying is what crosses devices.
_INDEXING = {_aten.index.Tensor, _aten.index_put_.default, _aten.index_put.default, _aten._index_put_impl_.default}
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_CROSSING = {_aten.copy_.default, _aten._to_copy.default}


def _inner(device: Any) -> Any:
    """`cuda:N` as the device that stands for it inside of torch, `meta:N`; anything else as it is."""
    if isinstance(device, str) and device.split(":")[0] == "cuda":
        device = torch.device(device)
    if isinstance(device, torch.device) and device.type == "cuda":
        index = device.index or 0
        if index >= DEVICES:
            raise RuntimeError(f"CUDA error: invalid device ordinal {index}")
        return torch.device("meta", index)
    return device


class PretendedTensor(Tensor):
    """A tensor whose numbers are in `held`, on the CPU, and which says that it is on `cuda:N`."""

    held: Tensor
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)
    is_meta = property(lambda self: False)

    @staticmethod
    def __new__(cls, held: Tensor, index: int) -> PretendedTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=torch.device("meta", index),
        )  # fmt: skip
        made.held, made.index = held, index
        return made

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", self.index)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return f"{self.held!r} on {self.device}"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: Any, kwargs: dict[str, Any], mode: AbstractContextManager[Any] | None = None) -> Any:
    """Run an operation of torch on the numbers, after the check that CUDA would make."""
    given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    here = {each.index for each in given if isinstance(each, PretendedTensor)}
    named = [
        each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.device) and each.type == "meta"
    ]
    if not here and all(each.index is None for each in named):
        return func(*args, **kwargs)
    # An operation made of others, which the inference mode does not take apart.
    if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE):
        with mode or nullcontext():
            return func._op_dk(_COMPOSITE, *args, **kwargs)
    wanted = kwargs.get("device")
    asked = wanted is not None and wanted.type == "meta"
    if func not in _CROSSING:
        _check(func, args, given, here)
    index = wanted.index if asked else None if wanted is not None else min(here)
    if index is not None and kwargs.get("generator") is not None:
        raise RuntimeError(f"{func}: expected a generator on cuda:{index}, but found one on the CPU")
    inner = tree_map(lambda each: each.held if isinstance(each, PretendedTensor) else each, (args, kwargs))
    found = func(*inner[0], **inner[1] | ({"device": torch.device("cpu")} if wanted is not None else {}))
    same = {id(each.held if isinstance(each, PretendedTensor) else each): each for each in given}

    def outer(each: Any) -> Any:
        if index is None or not isinstance(each, Tensor):
            return each
        return same[id(each)] if id(each) in same else PretendedTensor(each, index)

    # A view of a tensor from before the inference mode is no tensor of that mode.
    with torch.inference_mode(False):
        return tree_map(outer, found)


def _check(func: Any, args: Any, given: list[Tensor], pretended: set[int]) -> None:
    plain = [each for each in given if not isinstance(each, PretendedTensor) and each.dim()]
    if func in _INDEXING and isinstance(args[0], PretendedTensor):
        indices = {id(each) for each in tree_leaves(args[1])}
        plain = [each for each in plain if id(each) not in indices]
    if len(pretended) > 1 or plain:
        devices = sorted({str(each.device) for each in given})
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, but found {devices}")


class PretendedCuda(TorchFunctionMode):
    """Turns `cuda:N` in the arguments of torch's functions into what stands for it.

    Attributes:
        moves: Every device that a tensor was moved to or made on by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.moves: list[torch.device] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.device:
            return func(*args, **kwargs)
        if func == Tensor.device.__get__:  # type: ignore[attr-defined]
            found = func(*args)
            return torch.device("cuda", found.index) if found.type == "meta" and found.index is not None else found
        if func is Tensor.tolist and isinstance(args[0], PretendedTensor):
            return args[0].held.tolist()
        # Torch itself would put these numbers into memory that is not there.
        if func in (torch.tensor, torch.as_tensor) and _inner(kwargs.get("device")) != kwargs.get("device"):
            return func(*args, **kwargs | {"device": "cpu"}).to(_inner(kwargs["device"]))
        if func is Tensor.new_tensor and isinstance(args[0], PretendedTensor):
            return torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype)).to(_inner(args[0].device))
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[1], list | np.ndarray):
            args = (args[0], torch.as_tensor(args[1]), *args[2:])
        if func is Tensor.cuda:
            func, args = Tensor.to, (args[0], kwargs.get("device") or (args[1:] or ("cuda",))[0])
            kwargs = {}
        for each in (*args, *kwargs.values()):
            if isinstance(each, torch.device) or isinstance(each, str) and each.startswith("cuda"):
                self.moves.append(torch.device(each))
        return func(*map(_inner, args), **{name: _inner(value) for name, value in kwargs.items()})


class _Factories(TorchDispatchMode):
    """Makes tensors of torch's own on the pretended devices."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {}, self)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendedCuda]:
    """Two GPUs on a machine without one."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    for name, value in {
        "is_available": True, "device_count": DEVICES, "current_device": 0,
        "mem_get_info": (2**33, 2**33), "synchronize": None,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value, **__: value)
    for name in ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"):
        monkeypatch.setattr(torch.optim.Optimizer, name, lambda self: None, raising=False)
    load = torch.load

    def load_there(*args: Any, map_location: Any = None, **kwargs: Any) -> Any:
        found = load(*args, map_location="cpu", **kwargs)
        return tree_map(lambda each: each.to(map_location or "cpu") if isinstance(each, Tensor) else each, found)

    monkeypatch.setattr(torch, "load", load_there)
    swapping = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    with ExitStack() as stack:
        stack.callback(torch.__future__.set_swap_module_params_on_conversion, swapping)
        stack.enter_context(_Factories())
        yield stack.enter_context(PretendedCuda())


@pytest.fixture(params=["pretended", pytest.param("real", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The last GPU, so that a tensor on the first one is found out."""
    if request.param == "pretended":
        request.getfixturevalue("pretended")
    elif not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    # The tolerances are those of float32, so no TensorFloat-32 (10 bits), and `auto` is float32 everywhere.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (7, 0))
    return f"cuda:{torch.cuda.device_count() - 1}"

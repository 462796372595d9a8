"""The device of the tests in this folder: a GPU where there is one, a simulated one elsewhere.

`SimulatedCuda` runs code for CUDA on a machine without it. A tensor that is moved to `cuda:N` keeps its values in
the CPU's memory and reports the device `cuda:N`; an operation on tensors of two devices fails as it does in CUDA;
every GPU that a tensor is moved to is recorded. The values are the CPU's own: the tests then show that every
tensor is moved to the right device, and on a real GPU also that its results agree with the CPU's.
"""

from __future__ import annotations

from collections import Counter
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
"""Number of simulated GPUs."""

_aten = torch.ops.aten
# A CPU index is allowed on a CUDA tensor, and copying is what crosses devices.
_INDEXING = {_aten.index.Tensor, _aten.index_put_.default, _aten.index_put.default, _aten._index_put_impl_.default}
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_CROSSING = {_aten.copy_.default, _aten._to_copy.default}


class SimulatedTensor(Tensor):
    """A tensor that reports the device `cuda:N` and whose values are in `held`, on the CPU.

    For torch's C++ code, which has no driver to ask, its device is `meta:N`.
    """

    held: Tensor
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)
    is_meta = property(lambda self: False)

    @staticmethod
    def __new__(cls, held: Tensor, index: int) -> SimulatedTensor:
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
    """Run an operation of torch on the CPU, after the check of devices that CUDA makes."""
    given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    here = {each.index for each in given if isinstance(each, SimulatedTensor)}
    named = [
        each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.device) and each.type == "meta"
    ]
    if not here and all(each.index is None for each in named):
        return func(*args, **kwargs)
    # Inference mode does not decompose composite operations.
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
    inner = tree_map(lambda each: each.held if isinstance(each, SimulatedTensor) else each, (args, kwargs))
    found = func(*inner[0], **inner[1] | ({"device": torch.device("cpu")} if wanted is not None else {}))
    same = {id(each.held if isinstance(each, SimulatedTensor) else each): each for each in given}

    def outer(each: Any) -> Any:
        if index is None or not isinstance(each, Tensor):
            return each
        return same[id(each)] if id(each) in same else SimulatedTensor(each, index)

    # A view of a tensor that was made outside of inference mode must not be an inference tensor.
    with torch.inference_mode(False):
        return tree_map(outer, found)


def _check(func: Any, args: Any, given: list[Tensor], here: set[int]) -> None:
    """Raise an error for tensors of several devices; CUDA allows scalars of the CPU."""
    plain = [each for each in given if not isinstance(each, SimulatedTensor) and each.dim()]
    if func in _INDEXING and isinstance(args[0], SimulatedTensor):
        indices = {id(each) for each in tree_leaves(args[1])}
        plain = [each for each in plain if id(each) not in indices]
    if len(here) > 1 or plain:
        devices = sorted({str(each.device) for each in given})
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, but found {devices}")


class SimulatedCuda(TorchFunctionMode):
    """Replaces `cuda:N` in the arguments of torch's functions by `meta:N`, and `meta:N` in a tensor's device back.

    Attributes:
        used: The GPUs that tensors were moved to or made on.
        moved: How many numbers of each type were moved from the CPU to a GPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.used: set[str] = set()
        self.moved: Counter[torch.dtype] = Counter()

    def place(self, device: Any) -> Any:
        """Map a device; anything else is returned as it is."""
        if isinstance(device, str) and device.split(":")[0] == "cuda":
            device = torch.device(device)
        if not isinstance(device, torch.device) or device.type != "cuda":
            return device
        index = device.index or 0
        if index >= DEVICES:
            raise RuntimeError(f"CUDA error: invalid device ordinal {index}")
        self.used.add(f"cuda:{index}")
        return torch.device("meta", index)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.device:
            return func(*args, **kwargs)
        if func == Tensor.device.__get__:  # type: ignore[attr-defined]
            found = func(*args)
            return torch.device("cuda", found.index) if found.type == "meta" and found.index is not None else found
        if func is Tensor.tolist and isinstance(args[0], SimulatedTensor):
            return args[0].held.tolist()
        # Torch writes numbers of Python straight into memory, which a meta tensor has none of.
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            return func(*args, **kwargs | {"device": "cpu"}).to(self.place(kwargs["device"]))
        if func is Tensor.new_tensor and isinstance(args[0], SimulatedTensor):
            return torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype)).to(self.place(args[0].device))
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[1], list | np.ndarray):
            index = np.asarray(args[1]) if len(args[1]) else np.zeros(0, np.int64)
            args = (args[0], torch.from_numpy(index), *args[2:])
        if func is Tensor.cuda:
            func, args = Tensor.to, (args[0], kwargs.get("device") or (args[1:] or ("cuda",))[0])
            kwargs = {}
        return func(*map(self.place, args), **{name: self.place(value) for name, value in kwargs.items()})


class _Factories(TorchDispatchMode):
    """Handles operations without a simulated tensor among their arguments, such as factories."""

    def __init__(self, moved: Counter[torch.dtype]) -> None:
        super().__init__()
        self.moved = moved

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _aten._to_copy.default and (kwargs.get("device") or args[0].device).type == "meta":
            self.moved[args[0].dtype] += args[0].numel() if args[0].device.type == "cpu" else 0
        return run(func, args, kwargs or {}, self)


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedCuda]:
    """Two simulated GPUs."""
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
        cuda = SimulatedCuda()
        stack.enter_context(_Factories(cuda.moved))
        yield stack.enter_context(cuda)


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The last GPU, so that a tensor that is moved to the first one is noticed."""
    simulated = request.getfixturevalue("simulated") if request.param == "simulated" else None
    if simulated is None and not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    # The tolerances are those of float32, so no TensorFloat-32 (10 bits), and `auto` is float32 everywhere.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (7, 0))
    if simulated is not None:  # pinning asks the driver
        monkeypatch.setattr("torch.utils.data._utils.pin_memory.pin_memory", lambda data, device=None: data)
    name = f"cuda:{torch.cuda.device_count() - 1}"
    yield name
    assert simulated is None or simulated.used <= {name}

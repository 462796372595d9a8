"""Any of torchvision's convolutional networks, read at two of its nodes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, fx, nn
from torchvision.models import get_model, list_models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from ...errors import InputError
from .base import Backbone, Cells

PREFIX = "torchvision:"
DEEPEST = 16
"""The largest stride of a stage that is read by default."""


class TorchvisionBackbone(Backbone):
    """A network of `torchvision.models`, read at two nodes; 224 x 224 input.

    Batch normalisation always uses its stored statistics.

    Args:
        name: `torchvision:MODEL`, which reads the ends of the last two stages with a stride of at most 16, or
            `torchvision:MODEL:NODE,NODE` with nodes as `get_graph_node_names` of torchvision names them.

    Raises:
        InputError: If there is no such model or node, or no two maps.
    """

    input_size = 224
    fully_connected = ()

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.model_name, _, node_names = name.removeprefix(PREFIX).partition(":")
        if self.model_name not in list_models():
            raise InputError(
                f"torchvision has no model '{self.model_name}'; see torchvision.models.list_models()."
            )
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            model = get_model(self.model_name, weights=None).eval()
        if node_names:
            nodes = [node.strip() for node in node_names.split(",")]
            if len(set(nodes)) != 2:
                raise InputError(f"'{node_names}' names {len(set(nodes))} nodes; SINT compares two: NODE,NODE.")
        else:
            nodes = _stages(name, model)
        self.body = _extract(name, model, nodes)
        shapes = _shapes(self.body)
        for node in nodes:
            if len(shapes[node]) != 4 or shapes[node][2] != shapes[node][3]:
                raise InputError(f"The node '{node}' of '{name}' gives no feature map; choose another.")
        self.convolutions = tuple(sorted(nodes, key=lambda node: -shapes[node][2]))
        self.sint_layers = (self.convolutions[0], self.convolutions[1])
        self._channels = {node: shapes[node][1] for node in nodes}
        self._cells = {node: Cells(_SIDE / shapes[node][2], 0.0) for node in nodes}
        traced = _trace(self.body)
        for node, cells in self._cells.items():
            if node in traced and traced[node].stride == cells.stride:
                self._cells[node] = traced[node]

    def maps(self, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:  # noqa: D102
        outputs = self.body((images - self.mean) / self.std)
        return {name: outputs[name] for name in names}

    def train(self, mode: bool = True) -> TorchvisionBackbone:
        """Keep the evaluation mode: a batch of one video's frames has no statistics worth learning."""
        del mode
        super().train(False)
        return self

    def cells(self, name: str) -> Cells:  # noqa: D102
        return self._cells[name]

    def channels(self, name: str) -> int:  # noqa: D102
        return self._channels[name]

    def path(self, name: str) -> str:  # noqa: D102
        return f"body.{name}"

    def layer_of(self, parameter: str) -> str:
        """The first node for its own block, the second for all that lies behind; else the parameter's name."""
        parameters = [name for name, _ in self.body.named_parameters(prefix="body")]
        block = [i for i, name in enumerate(parameters) if name.startswith(f"{self.path(self.sint_layers[0])}.")]
        if not block or parameter not in parameters or parameters.index(parameter) < block[0]:
            return super().layer_of(parameter)
        return self.sint_layers[int(parameters.index(parameter) > block[-1])]


_SIDE = 128
"""Side of the image that the strides are measured on."""


def _extract(name: str, model: nn.Module, nodes: list[str]) -> fx.GraphModule:
    try:
        return create_feature_extractor(model, {node: node for node in nodes}).eval()
    except (ValueError, fx.proxy.TraceError) as error:
        raise InputError(f"'{name}' cannot be read ({str(error).splitlines()[0].rstrip('.')}).") from None


@torch.inference_mode()
def _shapes(body: nn.Module) -> dict[str, torch.Size]:
    try:
        return {node: value.shape for node, value in body(torch.zeros(1, 3, _SIDE, _SIDE)).items()}
    except AssertionError as error:
        raise InputError(f"The model takes no image of another size than its own ({error}).") from None


def _stages(name: str, model: nn.Module) -> list[str]:
    """The last block at each stride; of those of at most 16 the last two.

    Blocks are the model's children, or, where most of it is in one child (`features`), that child's children.
    """
    try:
        _, graph = get_graph_node_names(model)
    except fx.proxy.TraceError:
        raise InputError(f"The model '{name}' cannot be traced; choose a convolutional network.") from None
    for depth in (1, 2):
        blocks = list(dict.fromkeys(".".join(node.split(".")[:depth]) for node in graph[1:]))
        shapes = _shapes(_extract(name, model, blocks))
        square = {block: shape for block, shape in shapes.items() if len(shape) == 4 and shape[2] == shape[3] > 1}
        last = {shape[2]: block for block, shape in square.items() if _SIDE / shape[2] <= DEEPEST}
        if len(last) >= 3:
            return [last[side] for side in sorted(last)[1::-1]]
    raise InputError(
        f"'{name}' has no stages that are square feature maps; name two nodes: torchvision:MODEL:NODE,NODE."
    )


def _trace(body: fx.GraphModule) -> dict[str, Cells]:
    """Follow where the cells lie through convolutions and poolings; what cannot be followed is left out."""
    cells_at: dict[fx.Node, Cells] = {}
    for node in body.graph.nodes:
        if node.op == "placeholder":
            cells_at[node] = Cells(1, 0.0)
        elif node.op == "output":
            return {name: cells_at[source] for name, source in node.args[0].items() if source in cells_at}
        elif sources := [source for source in node.all_input_nodes if source in cells_at]:
            cells = max((cells_at[source] for source in sources), key=lambda found: found.stride)
            layer = body.get_submodule(str(node.target)) if node.op == "call_module" else None
            if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
                kernel, stride, padding = (
                    value[0] if isinstance(value, tuple) else value
                    for value in (layer.kernel_size, layer.stride, layer.padding)
                )
                cells = cells.after_layer(int(kernel), int(stride), int(padding))
            cells_at[node] = cells
    return {}

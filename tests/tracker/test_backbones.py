from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.vgg import cfgs, make_layers

import tracker
from tracker.errors import InputError
from tracker.models.backbones import (
    AlexNet,
    Backbone,
    Cells,
    FeatureExtractor,
    Slim,
    TorchvisionBackbone,
    Vgg16,
    describe_arithmetic,
    fingerprint,
    load_backbone,
    load_weights,
    precision_name,
    resolve_device,
    resolve_precision,
    roi_pool,
)
from vae.devices import resolve_precision as vae_precision

WEIGHTS = Path(tracker.__file__).parent / "weights" / "slim.safetensors"


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def slim() -> Backbone:
    torch.manual_seed(0)
    return Slim().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def vgg(vgg_file: Path) -> Backbone:
    return load_backbone("vgg16", vgg_file)


def test_pooling_a_whole_map_is_vggs_last_pooling() -> None:
    maps = noise(2, 5, 14, 14) - 0.5
    assert torch.equal(roi_pool(maps), functional.max_pool2d(maps, 2))


@pytest.mark.parametrize("side", [14, 28, 42])
def test_the_box_of_the_whole_image_is_no_box(side: int) -> None:
    maps = noise(3, 4, side, side)
    boxes = torch.tensor([[2, 0, 0, 8 * side, 8 * side], [0, 0, 0, 8 * side, 8 * side]]).float()
    assert torch.allclose(roi_pool(maps, boxes, scale=1 / 8), roi_pool(maps)[[2, 0]], atol=1e-6)


def test_a_part_of_a_map_is_pooled_as_if_it_were_cut_out() -> None:
    maps = noise(1, 3, 28, 28)
    boxes = torch.tensor([[0, 4.0, 6.0, 18.0, 20.0]])
    assert torch.allclose(roi_pool(maps, boxes), functional.max_pool2d(maps[:, :, 6:20, 4:18], 2), atol=1e-6)


def test_pooling_keeps_the_precision_of_the_map() -> None:
    maps = noise(1, 3, 14, 14).bfloat16()
    boxes = torch.tensor([[0, 0.0, 0.0, 14.0, 14.0]])
    assert roi_pool(maps).dtype == roi_pool(maps, boxes).dtype == torch.bfloat16


def test_the_gradients_way_to_pool_is_torchvisions() -> None:
    """Boxes inside, at the border, beyond it, thinner than a cell and wider than the samples are apart."""
    from torchvision.ops import roi_align

    from tracker.models.backbones.pooling import separable_align

    maps = noise(3, 4, 40, 60).requires_grad_()
    corners = [
        (8, 8, 64, 80), (-30, -20, 40, 30), (440, 280, 520, 340), (0, 0, 480, 320), (100, 100, 101, 220),
        (900, 900, 950, 950),
    ]  # fmt: skip
    boxes = torch.tensor([(i % 2 * 2, *box) for i, box in enumerate(corners)]).float()
    found, expected = separable_align(maps, boxes, 14, 1 / 8), roi_align(maps, boxes, 14, 1 / 8, aligned=True)
    assert torch.allclose(found, expected, atol=1e-5) and (found[:5].flatten(1).std(dim=1) > 0).all()
    push = noise(*found.shape, seed=1)
    gradients = [torch.autograd.grad((value * push).sum(), maps)[0] for value in (found, expected)]
    assert torch.allclose(*gradients, atol=1e-4)
    assert torch.allclose(roi_pool(maps, boxes, 1 / 8), roi_pool(maps.detach(), boxes, 1 / 8), atol=1e-5)


def test_the_shipped_file() -> None:
    """Five convolutions and three fully connected layers, eight with weights: the 8-layer net of the state."""
    assert WEIGHTS.stat().st_size < 6_000_000
    state = load_file(WEIGHTS)
    shapes = {name: tuple(value.shape) for name, value in state.items() if name.endswith(".weight")}
    assert [name for name in sorted(shapes) if len(shapes[name]) == 4] == [f"conv{i}.weight" for i in range(1, 6)]
    assert [name for name in sorted(shapes) if len(shapes[name]) == 2] == [f"fc{i}.weight" for i in (6, 7, 8)]
    assert len(shapes) == 8
    assert all(value.dtype == torch.float16 and value.isfinite().all() for value in state.values())
    net = load_backbone()
    assert isinstance(net, Slim) and not net.training and not any(p.requires_grad for p in net.parameters())
    assert torch.equal(net.conv3.weight, state["conv3.weight"].float())


def test_layers_of_the_slim_net_by_hand(slim) -> None:
    images = noise(2, 3, 112, 112)
    x = (images - slim.mean) / slim.std
    assert slim.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    expected = {}
    for name, pooled in (("conv1", True), ("conv2", True), ("conv3", False), ("conv4", False), ("conv5", False)):
        expected[name] = x = slim.get_submodule(name)(x).clamp(min=0)
        x = functional.max_pool2d(x, 2) if pooled else x
    expected["pool5"] = functional.max_pool2d(expected["conv5"], 2).flatten(1)
    expected["fc6"] = slim.fc6(expected["pool5"])
    expected["fc7"] = slim.fc7(expected["fc6"].clamp(min=0))
    expected["fc8"] = slim.fc8(expected["fc7"].clamp(min=0))
    assert expected["conv5"].shape == (2, 128, 14, 14) and (expected["fc6"] < 0).any()
    together = slim(images, expected)
    for name, value in expected.items():
        assert torch.allclose(together[name], value, atol=1e-4), name
        alone = slim(images, [name])
        assert list(alone) == [name] and torch.allclose(alone[name], value, atol=1e-4), name


def test_vgg_16_is_torchvisions(vgg, vgg_file: Path) -> None:
    state = load_file(vgg_file)
    reference = make_layers(cfgs["D"]).eval()
    reference.load_state_dict({key.removeprefix("features."): value.float() for key, value in state.items()})
    images = noise(1, 3, 224, 224)
    with torch.inference_mode():
        x = (images - vgg.mean) / vgg.std
        conv4_3, conv5_3 = reference[:23](x), reference[:30](x)
        found = vgg(images, ["conv4_3", "conv5_3", "pool5"])
        assert torch.allclose(found["conv5_3"], conv5_3, rtol=1e-3, atol=1e-4) and conv5_3.std() > 0.01
        assert torch.allclose(found["conv4_3"], conv4_3, rtol=1e-3, atol=1e-4)
        assert torch.allclose(found["pool5"], reference[30](conv5_3).flatten(1), rtol=1e-3, atol=1e-4)
        assert found["pool5"].shape == (1, 25088)
        first = vgg(images[..., :32, :32], ["conv1_1"])["conv1_1"]
        assert torch.allclose(first, reference[:2](x[..., :32, :32]), atol=1e-4)
    assert vgg.convolutions[:5] == ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")
    assert len(vgg.convolutions) == 13 and vgg.sint_layers == ("conv4_3", "conv5_3")


def test_vggs_classifier_is_read_before_each_relu() -> None:
    """With a small classifier in place of the one of 124 million weights."""
    torch.manual_seed(1)
    net = Vgg16(with_classifier=False)
    net.fully_connected = ("fc6", "fc7", "fc8")
    layers = [nn.Linear(98, 6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 5), nn.ReLU(), nn.Dropout(), nn.Linear(5, 4)]
    net.classifier = nn.Sequential(*layers)
    net.eval()
    pooled = noise(8, 2, 7, 7) - 0.5
    fc6 = layers[0](pooled.flatten(1))
    fc7 = layers[3](fc6.clamp(min=0))
    fc8 = layers[6](fc7.clamp(min=0))
    assert (fc6 < 0).any() and (fc7 < 0).any()
    assert torch.allclose(fc8, net.classifier(pooled.flatten(1)))
    found = net.fc_outputs(pooled, ["fc6", "fc7", "fc8"])
    for name, value in (("fc6", fc6), ("fc7", fc7), ("fc8", fc8)):
        assert torch.allclose(found[name], value), name
        assert torch.allclose(net.fc_outputs(pooled, [name])[name], value), name


def test_convolutions_alone_have_no_fc6(vgg) -> None:
    assert vgg.fully_connected == ()
    for read in (lambda: vgg(noise(1, 3, 224, 224), ["fc6"]), lambda: FeatureExtractor(vgg, "fc6")):
        with pytest.raises(InputError, match="fc6.*convolutions alone"):
            read()


def test_unknown_layers_are_named(slim) -> None:
    with pytest.raises(InputError, match="conv9.*choose conv1") as caught:
        slim(noise(1, 3, 112, 112), ["conv1", "conv9"])
    assert "alone" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", "a.pt"])
def test_a_missing_weights_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"{re.escape(name)}.*does not exist"):
        load_weights(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=re.escape(name)):
        load_weights(tmp_path / name)


def corrupt_files(folder: Path) -> list[Path]:
    """Every way in which a weights file may be broken."""
    state = {"conv1.weight": torch.zeros(40, 3, 5, 5), "conv1.bias": torch.zeros(40)}
    save_file(state, folder / "whole.safetensors")
    torch.save(state, folder / "whole.pth")
    made = []
    for suffix in (".safetensors", ".pth"):
        whole = (folder / f"whole{suffix}").read_bytes()
        contents = {
            "empty": b"",
            "text": b"<html>404</html>" * 9,
            "short": whole[:-200],
            "head": whole[:20],
            "shifted": b"x" + whole,
        }
        for kind, content in contents.items():
            (folder / f"{kind}{suffix}").write_bytes(content)
            made.append(folder / f"{kind}{suffix}")
    (folder / "pickle.pth").write_bytes(pickle.dumps(Path, protocol=2))
    torch.save([1, 2], folder / "list.pth")
    with zipfile.ZipFile(folder / "archive.pth", "w") as archive:
        archive.writestr("readme", "")
    return [*made, *(folder / f"{kind}.pth" for kind in ("pickle", "list", "archive"))]


def test_broken_weights_files_are_named(tmp_path: Path) -> None:
    for file in corrupt_files(tmp_path):
        with pytest.raises(InputError, match=f"{re.escape(file.name)}.*corrupt"):
            load_weights(file)


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"conv1.weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(InputError, match="corrupt"):
        load_weights(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


def test_weights_of_another_network_are_refused(tmp_path: Path, slim, vgg_file: Path) -> None:
    state = slim.state_dict()
    save_file({key: value for key, value in state.items() if key != "fc8.bias"}, tmp_path / "fewer.safetensors")
    save_file({**state, "fc9.bias": torch.zeros(3)}, tmp_path / "more.safetensors")
    save_file({**state, "fc8.bias": torch.zeros(3)}, tmp_path / "shapes.safetensors")
    torch.save({"epoch": 3, "model": "slim"}, tmp_path / "checkpoint.pth")
    for file in ("fewer.safetensors", "more.safetensors", "shapes.safetensors", "checkpoint.pth"):
        with pytest.raises(InputError, match=f"{re.escape(file)}.*'slim'"):
            load_backbone("slim", tmp_path / file)
    with pytest.raises(InputError, match="vgg16_conv.*'slim'"):
        load_backbone("slim", vgg_file)
    save_file(state, tmp_path / "slim.safetensors")
    with pytest.raises(InputError, match="slim.safetensors.*'vgg16'"):
        load_backbone("vgg16", tmp_path / "slim.safetensors")


def test_a_torchvision_file_is_read_too(tmp_path: Path, slim) -> None:
    torch.save(slim.state_dict(), tmp_path / "slim.pth")
    assert torch.equal(load_backbone("slim", tmp_path / "slim.pth").fc7.weight, slim.fc7.weight)


def test_names_and_missing_weights() -> None:
    with pytest.raises(InputError, match="'lenet' is no network.*alexnet"):
        load_backbone("lenet")
    with pytest.raises(InputError, match="AlexNet.*needs weights"):
        load_backbone("alexnet")
    with pytest.raises(InputError, match="VGG-16 needs weights"):
        load_backbone("vgg16")


def test_torchvision_that_cannot_fetch_says_what_to_do(monkeypatch) -> None:
    from torchvision.models import VGG16_Weights

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(VGG16_Weights.IMAGENET1K_V1.__class__, "get_state_dict", refuse)
    with pytest.raises(InputError, match=r"https://.*vgg16.*--weights FILE"):
        load_backbone("vgg16", "imagenet")


def test_devices(monkeypatch) -> None:
    assert resolve_device("cpu") == resolve_device(torch.device("cpu", 0)) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto").type == "cpu"
    for name in ("cuda", "cuda:1", "gpu", "", "cpu:1", "meta"):
        with pytest.raises(InputError, match=f"'{name}'.*choose auto"):
            resolve_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    # With an index always: `cuda` and `cuda:1` can be the same device.
    for name in ("auto", "cuda", "cuda:1", torch.device("cuda")):
        assert resolve_device(name) == torch.device("cuda", 1)
    assert resolve_device("cuda:0") == torch.device("cuda", 0)
    with pytest.raises(InputError, match="'cuda:2' on this machine; choose auto, cpu, cuda:0, cuda:1"):
        resolve_device("cuda:2")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("mps") == torch.device("mps", 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match="no device 'mps' on this machine"):
        resolve_device("mps")


def test_precisions() -> None:
    cpu = torch.device("cpu")
    assert resolve_precision("fp32", cpu) == torch.float32 and resolve_precision("bf16", cpu) == torch.bfloat16
    assert precision_name("auto", "cpu") in ("fp32", "bf16") and precision_name("bf16", cpu) == "bf16"
    with pytest.raises(InputError, match="fp16"):
        resolve_precision("fp16", cpu)  # type: ignore[arg-type]


CPUS = {
    "AVX-512 with bf16 units": ("x86_64", "AVX512", True, True, False, True),
    "AMX": ("x86_64", "AVX512", True, False, True, True),
    "AVX-512 without bf16 units": ("x86_64", "AVX512", True, False, False, False),
    "AVX2": ("x86_64", "AVX2", False, False, False, False),
    "held at AVX2 by ATEN_CPU_CAPABILITY": ("AMD64", "AVX2", True, True, False, False),
    "held at AVX2 by ONEDNN_MAX_CPU_ISA": ("x86_64", "AVX512", False, True, False, False),
    "ARM with bf16": ("aarch64", "DEFAULT", True, False, False, True),
    "ARM without bf16": ("aarch64", "DEFAULT", False, False, False, False),
    "Apple, no oneDNN": ("arm64", "DEFAULT", None, False, False, False),
}
"""Architecture, PyTorch's instructions, oneDNN's answer (`None`: not built), AVX512_BF16, AMX; bf16 by `auto`."""


@pytest.mark.parametrize("cpu", CPUS)
def test_auto_is_bf16_on_cpus_with_units_for_it(cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, instructions, onednn, avx512_bf16, amx, bf16 = CPUS[cpu]
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: onednn is not None)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    for resolve in (resolve_precision, vae_precision):
        assert (resolve("auto", torch.device("cpu")) == torch.bfloat16) == bf16
        assert resolve("auto", torch.device("mps")) == torch.float32
    assert precision_name("auto", "cpu") == ("bf16" if bf16 else "fp32")


@pytest.mark.parametrize(
    ("gpu", "capability", "bf16"), [("V100", (7, 0), False), ("T4", (7, 5), False), ("A100", (8, 0), True)]
)
def test_auto_is_bf16_on_gpus_with_units_for_it(
    gpu: str, capability: tuple[int, int], bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`torch.cuda.is_bf16_supported` is true of all of them: it counts emulation."""
    asked = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: asked.append(device) or capability)
    device = torch.device("cuda:1")
    for resolve in (resolve_precision, vae_precision):
        assert (resolve("auto", device) == torch.bfloat16) == bf16, gpu
    assert asked == [device, device]


def test_records_say_whether_tf32_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda:0")
    assert describe_arithmetic(torch.bfloat16, cuda) == "torch.bfloat16 on cuda"
    assert describe_arithmetic(torch.float32, cuda) == "torch.float32 on cuda, TF32 in convolutions"
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert describe_arithmetic(torch.float32, cuda) == "torch.float32 on cuda, no TF32"


@pytest.mark.parametrize(("layer", "length"), [("conv4", 192 * 196), ("pool5", 6272), ("fc6", 256), ("fc8", 128)])
def test_features_have_a_root_mean_square_of_one(slim, layer: str, length: int) -> None:
    extractor = FeatureExtractor(slim, layer, "fp32")
    assert extractor.length == length and extractor.input_size == 112
    crops = noise(3, 3, 112, 112)
    crops[2] *= 0.1
    found = extractor(crops)
    assert found.shape == (3, length) and found.dtype == torch.float32
    assert found.square().mean(dim=1).sqrt() == pytest.approx([1, 1, 1], abs=1e-4)
    raw = slim(crops, [layer])[layer].flatten(1)
    assert torch.allclose(functional.cosine_similarity(found, raw), torch.ones(3), atol=1e-4)


def test_features_of_nothing_are_zeros() -> None:
    """A network that is dead gives zeros, not NaN."""
    net = Slim().eval().requires_grad_(False)
    for parameter in net.parameters():
        parameter.zero_()
    assert (FeatureExtractor(net, "fc7", "fp32")(noise(2, 3, 112, 112)) == 0).all()


def test_bfloat16_is_close_and_comes_back_as_float32(slim) -> None:
    crops = noise(2, 3, 112, 112)
    exact, rough = (FeatureExtractor(slim, "fc6", precision)(crops) for precision in ("fp32", "bf16"))
    assert rough.dtype == torch.float32 and not torch.equal(exact, rough)
    assert functional.cosine_similarity(exact, rough).min() > 0.995


def filled(net: nn.Module) -> nn.Module:
    """Random weights for a net that was built without."""
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        fan = parameter[0].numel() if parameter.dim() > 1 else 100
        nn.init.normal_(parameter, std=(2 / fan) ** 0.5, generator=generator)
    return net.eval().requires_grad_(False)


def test_alexnet_is_torchvisions() -> None:
    from torchvision.models import alexnet

    net = filled(AlexNet(with_classifier=True))
    reference = alexnet().eval()
    reference.load_state_dict(net.state_dict())
    images = noise(1, 3, 224, 224)
    with torch.inference_mode():
        x = (images - net.mean) / net.std
        found = net(images, ["conv1", "conv4", "conv5", "pool5", "fc6", "fc8"])
        assert torch.allclose(found["conv1"], reference.features[:2](x), atol=1e-5)
        assert torch.allclose(found["conv4"], reference.features[:10](x), atol=1e-4)
        pool5 = reference.features(x).flatten(1)
        assert torch.allclose(found["pool5"], pool5, atol=1e-4) and pool5.shape == (1, 9216)
        assert torch.allclose(found["fc6"], reference.classifier[1](pool5), rtol=1e-3, atol=1e-4)
        assert torch.allclose(found["fc8"], reference(x), rtol=1e-3, atol=1e-4)
    assert net.sint_layers == ("conv4", "conv5") and [net.layer_of(f"classifier.{i}.bias") for i in (1, 4, 6)] == [
        "fc6", "fc7", "fc8",
    ]  # fmt: skip
    assert net.layer_of("features.8.weight") == "conv4" and net.channels("conv4") == 256


def test_the_papers_variants_have_a_stride_of_four_and_the_same_weights(vgg_file: Path) -> None:
    """SINT without the poolings after the second (VGG-16) or without any (AlexNet)."""
    vgg, whole = load_backbone("vgg16", vgg_file, pools=2), load_backbone("vgg16", vgg_file)
    alex = filled(AlexNet(with_classifier=False, pools=0))
    images = noise(1, 3, 64, 64)
    for net in (vgg, alex):
        maps = net.maps(images, net.sint_layers)
        assert all(maps[name].shape[-2:] == (16, 16) and net.cells(name).stride == 4 for name in net.sint_layers)
    assert fingerprint(vgg) == fingerprint(whole) and whole.cells("conv5_3").stride == 16
    early = ["conv1_1", "conv2_2", "conv3_3"]
    for name, value in whole.maps(images, early).items():
        assert torch.equal(vgg.maps(images, early)[name], value)
    x = whole.maps(images, ["conv3_3"])["conv3_3"]
    conv = whole.get_submodule("features.17")
    assert torch.allclose(vgg.maps(images, ["conv4_1"])["conv4_1"], conv(x).clamp(min=0), atol=1e-4)
    for count in (-1, 5):
        with pytest.raises(InputError, match="4 max poolings"):
            load_backbone("vgg16", vgg_file, pools=count)
    with pytest.raises(InputError, match="poolings of 'slim'"):
        load_backbone("slim", pools=2)


def centre_of(net: Backbone, name: str, cell: int, side: int) -> float:
    """The middle of the pixels that a cell depends on, by the gradient."""
    image = torch.zeros(1, 3, side, side, requires_grad=True)
    net.maps(image, [name])[name][0, :, cell, cell].sum().backward()
    assert image.grad is not None
    seen = torch.nonzero(image.grad[0].abs().sum(0).sum(0))[:, 0]
    return (seen[0].item() + seen[-1].item() + 1) / 2


@pytest.mark.filterwarnings("ignore:The net")
@pytest.mark.parametrize(
    ("name", "pools", "layer", "expected"),
    [
        ("slim", None, "conv5", Cells(8, -0.5)),
        ("vgg16", None, "conv3_3", Cells(4, 0)),
        ("vgg16", 2, "conv4_1", Cells(4, 0)),
        ("alexnet", None, "conv3", Cells(16, 7.5)),
        ("alexnet", 0, "conv3", Cells(4, -1.5)),
        ("torchvision:resnet18", None, "layer2", Cells(8, -3.5)),
    ],
)
def test_cells_lie_where_their_gradients_do(
    name: str, pools: int | None, layer: str, expected: Cells, monkeypatch
) -> None:
    """With equal weights and means in place of maxima, so that a cell depends on all that it sees."""
    net = load_backbone(name, "random", pools=pools)
    found = net.cells(layer)
    assert found == expected
    net.requires_grad_(False)
    for parameter in net.parameters():
        parameter.fill_(1e-3)
    net.mean.zero_()
    if isinstance(net, TorchvisionBackbone):
        net.body.maxpool = nn.AvgPool2d(3, 2, 1)
    monkeypatch.setattr(functional, "max_pool2d", functional.avg_pool2d)
    cell = int(127 / found.stride)
    assert centre_of(net, layer, cell, 255) == found.stride * (cell + 0.5) + found.shift


def test_a_shifted_map_is_pooled_where_its_cells_lie() -> None:
    """A map whose cells hold their own positions is pooled to the positions of the box."""
    net = AlexNet(with_classifier=False)
    cells = net.cells("conv3")
    centre = cells.stride * (torch.arange(20) + 0.5) + cells.shift
    maps = centre.expand(1, 1, 20, 20)
    boxes = torch.tensor([[0, 96.0, 96.0, 96 + 26 * 4, 96 + 26 * 4]])
    found = net.pool("conv3", maps, boxes)[0, 0, 0]
    # 13 bins of 8 pixels; windows of 3 bins, two apart: the maximum is the centre of the third bin.
    assert found.tolist() == pytest.approx([96 + 8 * (2 * i + 2.5) for i in range(6)], abs=1e-3)


def test_the_rest_of_a_chain_goes_on_from_a_map(slim) -> None:
    images = noise(1, 3, 64, 64)
    whole = slim.maps(images, slim.convolutions)
    for name in slim.convolutions:
        rest = slim.maps_from(name, whole[name], slim.convolutions[1:])
        assert list(rest) == [n for n in slim.convolutions[1:] if n >= name]
        assert all(torch.equal(rest[n], whole[n]) for n in rest)


@pytest.mark.filterwarnings("ignore:The net")
def test_any_torchvision_net_by_name(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    net = load_backbone("torchvision:resnet18", "random")
    assert (
        isinstance(net, TorchvisionBackbone) and net.sint_layers == ("layer2", "layer3") and net.input_size == 224
    )
    images = noise(2, 3, 64, 64)
    maps = net.maps(images, net.sint_layers)
    assert maps["layer2"].shape == (2, 128, 8, 8) and maps["layer3"].shape == (2, 256, 4, 4)
    assert net.channels("layer3") == 256 and net.cells("layer3").stride == 16
    torch.manual_seed(3)
    model = resnet18().eval()
    torch.save(model.state_dict(), tmp_path / "resnet18.pth")
    loaded = load_backbone("torchvision:resnet18:layer1,layer2", tmp_path / "resnet18.pth")
    x = model.maxpool(model.relu(model.bn1(model.conv1((images - net.mean) / net.std))))
    expected = model.layer1(x)
    found = loaded.maps(images, loaded.sint_layers)
    assert loaded.sint_layers == ("layer1", "layer2") and torch.allclose(found["layer1"], expected, atol=1e-4)
    assert torch.allclose(found["layer2"], model.layer2(expected), atol=1e-4)
    assert not loaded.train().training and not loaded.body.training
    loaded.add_fc6(5, None, torch.Generator())
    assert loaded(noise(1, 3, 224, 224), ["pool5", "fc6"])["fc6"].shape == (1, 5)


def test_torchvision_names_that_cannot_be_read() -> None:
    for name, match in (
        ("torchvision:resnet", "no model 'resnet'"),
        ("torchvision:resnet18:layer1", "names 1 nodes"),
        ("torchvision:resnet18:layer1,layer9", "layer9"),
        ("torchvision:resnet18:layer1,fc", "'fc'.*no feature map"),
    ):
        with pytest.raises(InputError, match=match):
            TorchvisionBackbone(name)


def test_random_weights_warn_and_are_the_same_each_time() -> None:
    with pytest.warns(UserWarning, match="'slim' starts from random weights"):
        first = load_backbone("slim", "random")
    torch.manual_seed(8)
    with pytest.warns(UserWarning, match="random"):
        assert fingerprint(load_backbone("slim", "random")) == fingerprint(first)
    assert fingerprint(first) != fingerprint(load_backbone())


def test_fc6_is_not_put_where_one_is(slim) -> None:
    with pytest.raises(ValueError, match="has an fc6"):
        slim.add_fc6(4, None, torch.Generator())


@pytest.mark.parametrize("names", [["conv4_3", "conv5_3"], ["conv2_2", "conv4_3"]])
def test_images_that_go_through_the_fine_layers_apart_have_the_maps_of_a_batch(
    vgg: Backbone, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    images = noise(3, 3, 48, 40, seed=5)
    together = {name: found.detach() for name, found in vgg.maps(images, names).items()}
    monkeypatch.setattr("tracker.models.backbones.nets.PART_PIXELS", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2 * 48 * 40)
    with torch.no_grad():
        apart = vgg.maps(images, names)
    assert all(torch.allclose(together[name], apart[name], atol=1e-4) for name in names)

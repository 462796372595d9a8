"""Hard positives in a plain PyTorch dataset: a torchvision transform among the others.

Trains a small network to classify which video a target is of, half of the targets occluded, and prints its
accuracy.

Usage: python examples/07_hard_positives_in_a_dataset.py [SEQUENCES [EPOCHS [METHOD]]]

METHOD is random, or one that queries the package's matcher, such as best-of-8-random.

Prints:

    Rendering the video out/examples/videos/0
    ...
    44 targets of 4 videos, half of them occluded
    epoch 0: loss 1.399, 23% of the targets correct
    ...
    epoch 3: loss 1.337, 41% of the targets correct
    ...
"""

import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2
from videos import rendered_videos

from agents.hard_positives.transforms import HardPositiveTransform
from occlusion_env import load_targets


class Targets(Dataset):
    """Frames, the boxes of their targets, and the number of their video; any dataset with boxes works."""

    def __init__(self, sequences: str, transform: v2.Transform) -> None:
        """Open the sequences; frames are decoded when they are indexed."""
        self.targets, self.transform = load_targets(sequences), transform
        self.videos = sorted(set(self.targets.videos))

    def __len__(self) -> int:
        """Number of targets."""
        return len(self.targets)

    def __getitem__(self, index: int):
        """The target's crop, `float32[3, 48, 48]`, and the number of its video."""
        target = self.targets[index]
        image = tv_tensors.Image(torch.from_numpy(target.frame).permute(2, 0, 1))
        box = tv_tensors.BoundingBoxes(target.box[None], format="XYWH", canvas_size=image.shape[-2:])
        image, box = self.transform(image, box)
        x, y, w, h = box[0].round().int().tolist()
        crop = image[:, max(0, y) : max(0, y) + max(1, h), max(0, x) : max(0, x) + max(1, w)]
        crop = v2.functional.resize(crop, [48, 48])
        return v2.functional.to_dtype(crop, torch.float32, scale=True), self.videos.index(target.source.video)


def main(sequences: str = "", epochs: int | str = 5, method: str = "random") -> None:
    """Train."""
    sequences = sequences or str(rendered_videos(Path("out/examples/videos"), range(4)))
    scorer = None if method in ("random", "centre") else "sint"
    transform = v2.Compose([HardPositiveTransform(p=0.5, method=method, scorer=scorer), v2.RandomHorizontalFlip()])
    dataset = Targets(sequences, transform)
    print(f"{len(dataset)} targets of {len(dataset.videos)} videos, half of them occluded", flush=True)
    loader = DataLoader(dataset, batch_size=16, shuffle=True, num_workers=2, persistent_workers=True)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 5, stride=3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
        nn.Linear(256, len(dataset.videos)),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for epoch in range(int(epochs)):
        losses, hits = [], 0
        for crops, labels in loader:
            outputs = net(crops)
            loss = nn.functional.cross_entropy(outputs, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            hits += int((outputs.argmax(dim=1) == labels).sum())
        loss_mean, share = sum(losses) / len(losses), hits / len(dataset)
        print(f"epoch {epoch}: loss {loss_mean:.3f}, {share:.0%} of the targets correct", flush=True)


if __name__ == "__main__":
    torch.manual_seed(0)
    main(*sys.argv[1:4])

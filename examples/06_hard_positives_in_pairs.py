"""Hard positives between the sampler and the network of a Siamese tracker, a batch at a time, on its device.

The pairs are got10k's: a dataset that gives the image files and the boxes of a sequence, `(files, boxes)`, as
`got10k.datasets` do (1-based boxes). The network is trained with an occluded search image in half of the pairs,
at the region that lowers the score of the *current* network most.

Usage: python examples/06_hard_positives_in_pairs.py [SEQUENCES [STEPS]]

Prints:

    Rendering the video out/examples/videos/0
    ...
    Training on pairs of 4 videos
    step 0: loss 1.986
    step 10: loss 1.627
    ...
    step 40: loss 1.503
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from videos import rendered_videos

from agents.hard_positives.transforms import HardPositiveBatch
from tracker import open_sequences, read_image
from tracker.data.images import resize
from tracker.scorers.foreign import EmbeddingScorer

SIDE, TEMPLATE = 160, 64


class Got10kStyle:
    """Stands for `got10k.datasets.GOT10k(root, subset)`: `dataset[i]` gives image files and 1-based boxes."""

    def __init__(self, root: str) -> None:
        """Open the sequences of a folder."""
        self.sequences = list(open_sequences(root).values())

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.sequences)

    def __getitem__(self, index: int):
        """Files and boxes `[T, 4]`."""
        sequence = self.sequences[index]
        return [str(path) for path in sequence.frames.paths], sequence.boxes + [1, 1, 0, 0]


class Pairs(Dataset):
    """Two frames of a sequence: the target of the first, and the second at a fixed size with the target's box."""

    def __init__(self, dataset: Got10kStyle, count: int) -> None:
        """Sample `count` pairs, each when it is indexed."""
        self.dataset, self.count = dataset, count

    def __len__(self) -> int:
        """Number of pairs."""
        return self.count

    def __getitem__(self, index: int):
        """The template and the search image, `uint8[3, ., .]`, and the box in the second."""
        files, boxes = self.dataset[int(torch.randint(len(self.dataset), ()))]
        first, second = torch.randint(len(files), (2,)).tolist()
        (x, y, w, h), box = boxes[first] - [1, 1, 0, 0], boxes[second] - [1, 1, 0, 0]
        image = read_image(files[first])
        top, left = max(0, round(y)), max(0, round(x))
        template = image[top : max(top + 1, round(y + h)), left : max(left + 1, round(x + w))]
        search = read_image(files[second])
        scale = np.array([SIDE / search.shape[1], SIDE / search.shape[0]] * 2)
        images = [resize(template, TEMPLATE, TEMPLATE), resize(search, SIDE, SIDE)]
        z, x = (torch.from_numpy(each).permute(2, 0, 1) for each in images)
        return z, x, torch.from_numpy(box * scale).float()


def main(root: str = "", steps: int | str = 41) -> None:
    """Train a small Siamese network to bring a target's two crops together and other targets' apart."""
    root = root or str(rendered_videos(Path("out/examples/videos"), range(4)))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = nn.Sequential(
        nn.Conv2d(3, 16, 5, stride=2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 5, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 64),
    ).to(device)  # fmt: skip
    occlude = HardPositiveBatch("best of 8 random", EmbeddingScorer(net, TEMPLATE), p=0.5)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    print(f"Training on pairs of {len(Got10kStyle(root))} videos", flush=True)
    loader = DataLoader(Pairs(Got10kStyle(root), int(steps) * 16), batch_size=16, num_workers=2)
    for step, batch in enumerate(loader):
        z, x, boxes = (part.to(device, non_blocking=True) for part in batch)
        x = occlude(x, boxes, exemplars=z)  # here: after the sampler, before the network
        crops = torch.stack([crop(image, box) for image, box in zip(x, boxes, strict=True)])
        first, second = (
            nn.functional.normalize(net(part.float() / 255)) for part in (z, crops.round().clamp(0, 255))
        )
        loss = nn.functional.cross_entropy(first @ second.T / 0.1, torch.arange(len(z), device=device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)


def crop(image: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
    """The target of an image `[3, H, W]`, resized."""
    x, y, w, h = box.round().int().tolist()
    top, left = min(max(0, y), SIDE - 1), min(max(0, x), SIDE - 1)
    part = image[None, :, top : max(top + 1, y + h), left : max(left + 1, x + w)].float()
    return nn.functional.interpolate(part, (TEMPLATE, TEMPLATE), mode="bilinear", antialias=True)[0]


if __name__ == "__main__":
    torch.manual_seed(0)
    main(*sys.argv[1:3])

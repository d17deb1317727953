"""The networks of the benchmarks, with random weights and non-trivial batch norms."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


def conv_net() -> tuple[nn.Module, Tensor]:
    """1-D conv-norm-relu-pool, four blocks of 64 to 256 channels."""
    widths = [10, 64, 128, 192, 256]
    blocks: list[nn.Module] = []
    for before, after in pairwise(widths):
        blocks += [nn.Conv1d(before, after, 5, padding=2), nn.BatchNorm1d(after), nn.ReLU(), nn.MaxPool1d(2)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(256, 10)), torch.randn(32, 10, 512)


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv1d(before, after, 3, stride, 1, bias=False), nn.BatchNorm1d(after)
        self.conv2, self.norm2 = nn.Conv1d(after, after, 3, 1, 1, bias=False), nn.BatchNorm1d(after)
        self.shortcut = (
            nn.Sequential(nn.Conv1d(before, after, 1, stride, bias=False), nn.BatchNorm1d(after))
            if stride > 1 or before != after
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(out)) + self.shortcut(x))


def resnet18() -> tuple[nn.Module, Tensor]:
    """ResNet-18 in one dimension, 12 channels, 1024 samples."""
    stem = [nn.Conv1d(12, 64, 7, 2, 3, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.MaxPool1d(3, 2, 1)]
    blocks = [
        BasicBlock(before, after, stride)
        for before, after, stride in (
            (64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2),
            (512, 512, 1),
        )
    ]  # fmt: skip
    return (
        nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(512, 5)),
        torch.randn(16, 12, 1024),
    )


def mlp() -> tuple[nn.Module, Tensor]:
    """606-768-768-57, as for gait subjects."""
    return (
        nn.Sequential(nn.Linear(606, 768), nn.ReLU(), nn.Linear(768, 768), nn.ReLU(), nn.Linear(768, 57)),
        torch.rand(256, 606),
    )


def vgg() -> tuple[nn.Module, Tensor]:
    """2-D VGG-like net on 64 x 64 spectrograms."""
    blocks: list[nn.Module] = []
    for before, after in ((1, 32), (32, 64), (64, 128)):
        blocks += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.Conv2d(after, after, 3, padding=1), nn.ReLU()]
        blocks += [nn.MaxPool2d(2)]
    head = [nn.Flatten(), nn.Linear(128 * 64, 256), nn.ReLU(), nn.Dropout(), nn.Linear(256, 10)]
    return nn.Sequential(*blocks, *head), torch.randn(16, 1, 64, 64)


def eegnet() -> tuple[nn.Module, Tensor]:
    """EEGNet-8,2 (Lawhern et al. 2018) on 22 channels, 4.5 s at 250 Hz."""
    channels, time, f1, depth = 22, 1125, 8, 2
    f2 = f1 * depth
    net = nn.Sequential(
        nn.Unflatten(1, (1, channels)),
        nn.Conv2d(1, f1, (1, 64), padding="same", bias=False), nn.BatchNorm2d(f1),
        nn.Conv2d(f1, f2, (channels, 1), groups=f1, bias=False), nn.BatchNorm2d(f2), nn.ELU(),
        nn.AvgPool2d((1, 4)), nn.Dropout(0.25),
        nn.Conv2d(f2, f2, (1, 16), padding="same", groups=f2, bias=False),
        nn.Conv2d(f2, f2, 1, bias=False), nn.BatchNorm2d(f2), nn.ELU(),
        nn.AvgPool2d((1, 8)), nn.Dropout(0.25), nn.Flatten(), nn.Linear(f2 * (time // 32), 4),
    )  # fmt: skip
    return net, torch.randn(32, channels, time)


MODELS = {"conv-norm-relu-pool 1-D": conv_net, "ResNet-18 1-D": resnet18, "MLP": mlp, "VGG 2-D": vgg, "EEGNet": eegnet}


def build(name: str, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """Return a network in evaluation mode and a batch of signals."""
    torch.manual_seed(seed)
    model, x = MODELS[name]()
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return model.eval(), x

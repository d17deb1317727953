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


class Recurrent(nn.Module):
    """A bidirectional recurrent layer, its mean over time, and classes."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.layer = kind(64, 128, batch_first=True, bidirectional=True)
        self.head = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0].mean(1))


def lstm() -> tuple[nn.Module, Tensor]:
    """LSTM, hidden 128 in either direction, 1000 steps of 64 channels."""
    return Recurrent(nn.LSTM), torch.randn(32, 1000, 64)


def gru() -> tuple[nn.Module, Tensor]:
    """GRU, hidden 128 in either direction, 1000 steps of 64 channels."""
    return Recurrent(nn.GRU), torch.randn(32, 1000, 64)


class Encoder(nn.Module):
    """Blocks on an embedding of every step, their mean over time, and classes."""

    def __init__(self, embedding: nn.Module, blocks: nn.Module, steps: int, width: int = 128) -> None:
        super().__init__()
        self.embedding, self.blocks, self.head = embedding, blocks, nn.Linear(width, 10)
        self.position = nn.Parameter(0.02 * torch.randn(steps, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.embedding(x) + self.position).mean(1))


def transformer() -> tuple[nn.Module, Tensor]:
    """Transformer encoder (Vaswani et al. 2017): six layers of width 128, eight heads, 512 steps of 64 channels."""
    layer = nn.TransformerEncoderLayer(128, 8, 512, batch_first=True)
    blocks = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
    return Encoder(nn.Linear(64, 128), blocks, 512), torch.randn(8, 512, 64)


class ConformerBlock(nn.Module):
    """Half a feed-forward step, attention, convolution, and the other half (Gulati et al. 2020)."""

    def __init__(self, width: int, heads: int, kernel: int) -> None:
        super().__init__()
        self.first, self.last = self._feed_forward(width), self._feed_forward(width)
        self.norm, self.attention = nn.LayerNorm(width), nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm_in, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.convolution = nn.Sequential(
            nn.Conv1d(width, 2 * width, 1), nn.GLU(1), nn.Conv1d(width, width, kernel, padding="same", groups=width),
            nn.BatchNorm1d(width), nn.SiLU(), nn.Conv1d(width, width, 1), nn.Dropout(0.1),
        )  # fmt: skip

    @staticmethod
    def _feed_forward(width: int) -> nn.Module:
        return nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.SiLU(), nn.Dropout(0.1), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.5 * self.first(x)
        normed = self.norm(x)
        x = x + self.attention(normed, normed, normed, need_weights=False)[0]
        x = x + self.convolution(self.norm_in(x).transpose(1, 2)).transpose(1, 2)
        return self.norm_out(x + 0.5 * self.last(x))


def conformer() -> tuple[nn.Module, Tensor]:
    """Conformer: four blocks of width 144, four heads, on 400 frames of 80 mel bands."""
    blocks = nn.Sequential(*(ConformerBlock(144, 4, 31) for _ in range(4)))
    return Encoder(nn.Linear(80, 144), blocks, 400, 144), torch.randn(8, 400, 80)


class Factored(nn.Sequential):
    """A convolution in space, then one in time, of as many weights as one in both (Tran et al. 2018)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        between = 27 * before * after // (9 * before + 3 * after)
        super().__init__(
            nn.Conv3d(before, between, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
            nn.BatchNorm3d(between), nn.ReLU(inplace=True),
            nn.Conv3d(between, after, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
        )  # fmt: skip


class FactoredBlock(nn.Module):
    """Two factored convolutions and a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            Factored(before, after, stride), nn.BatchNorm3d(after), nn.ReLU(inplace=True),
            Factored(after, after, 1), nn.BatchNorm3d(after),
        )  # fmt: skip
        self.shortcut = (
            nn.Sequential(nn.Conv3d(before, after, 1, stride, bias=False), nn.BatchNorm3d(after))
            if stride > 1
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.path(x) + self.shortcut(x))


def r2plus1d() -> tuple[nn.Module, Tensor]:
    """R(2+1)D-18 (Tran et al. 2018) on clips of 8 frames of 56 x 56."""
    stem = [
        nn.Conv3d(3, 45, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False), nn.BatchNorm3d(45), nn.ReLU(inplace=True),
        nn.Conv3d(45, 64, (3, 1, 1), padding=(1, 0, 0), bias=False), nn.BatchNorm3d(64), nn.ReLU(inplace=True),
    ]  # fmt: skip
    widths = [64, 64, 128, 256, 512]
    blocks: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(widths)):
        blocks += [FactoredBlock(before, after, 2 if number else 1), FactoredBlock(after, after, 1)]
    head = [nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(512, 10)]
    return nn.Sequential(*stem, *blocks, *head), torch.randn(2, 3, 8, 56, 56)


MODELS = {
    "conv-norm-relu-pool 1-D": conv_net,
    "ResNet-18 1-D": resnet18,
    "MLP": mlp,
    "VGG 2-D": vgg,
    "EEGNet": eegnet,
    "LSTM": lstm,
    "GRU": gru,
    "transformer encoder": transformer,
    "Conformer": conformer,
    "R(2+1)D-18": r2plus1d,
}


def build(name: str, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """Return a network in evaluation mode and a batch of signals."""
    torch.manual_seed(seed)
    model, x = MODELS[name]()
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return model.eval(), x

"""Small networks of every architecture that signals are classified with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter and statistic a value of its own (biases too), and leave training mode."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double()
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            spread = 1.0 if value.dim() < 2 else (2 / value[0].numel()) ** 0.5
            value.copy_(noise.abs() + 0.3 if name.endswith("running_var") else spread * noise)
    return model.eval()


class ResNet1d(nn.Module):
    """Written with functions and operators; batch norms behind the convolutions, biases in both."""

    def __init__(self) -> None:
        super().__init__()
        sizes = ((2, 4, 5), (4, 4, 3), (4, 4, 3), (4, 6, 3), (6, 6, 3), (4, 6, 1))
        self.weights = nn.ParameterList([nn.Parameter(torch.empty(o, i, k)) for i, o, k in sizes])
        self.biases = nn.ParameterList([nn.Parameter(torch.empty(o)) for _, o, _ in sizes])
        self.norms = nn.ModuleList([nn.BatchNorm1d(o) for _, o, _ in sizes])
        self.head = nn.Linear(6, 3)

    def block(self, x: Tensor, i: int, stride: int = 1) -> Tensor:
        w, norm = self.weights[i], self.norms[i]
        x = F.conv1d(x, w, self.biases[i], stride, padding=w.shape[2] // 2)
        return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.block(x, 0))
        x = F.relu(self.block(F.relu(self.block(x, 1)), 2) + x)
        x = torch.relu(torch.add(self.block(self.block(x, 3, 2).relu(), 4), self.block(x, 5, 2)))
        return self.head(x.mean(-1))


class InPlaceResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.MaxPool1d(3, 2, 1))
        self.conv1, self.norm1 = nn.Conv1d(4, 4, 3, padding=1, bias=False), nn.BatchNorm1d(4)
        self.conv2, self.norm2 = nn.Conv1d(4, 4, 3, padding=1), nn.BatchNorm1d(4)
        self.relu, self.leaky = nn.ReLU(inplace=True), nn.LeakyReLU(0.1, inplace=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        out = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        out += x
        out = self.leaky(out)
        out = F.dropout(out, 0.5, self.training, inplace=True)
        return self.head(F.adaptive_avg_pool1d(out, 1).squeeze(-1))


class DenseNet(nn.Module):
    """Norm and ReLU before the convolution, one layer with the norm alone before it, concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(2, 4, 5, padding=2)
        self.norms = nn.ModuleList([nn.BatchNorm1d(4 + 3 * i) for i in range(3)])
        self.convs = nn.ModuleList([nn.Conv1d(4 + 3 * i, 3, 3, padding=1) for i in range(3)])
        self.transition = nn.Sequential(nn.BatchNorm1d(13), nn.Conv1d(13, 5, 3, padding=1), nn.AvgPool1d(2))
        self.last = nn.Sequential(nn.BatchNorm1d(5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
        self.head = nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            features.append(conv(F.relu(norm(torch.cat(features, 1)), inplace=True)))
        return self.head(self.last(self.transition(torch.cat(features, 1))))


class InceptionTime(nn.Module):
    def __init__(self) -> None:
        super().__init__()

        def module(inputs: int) -> nn.ModuleDict:
            return nn.ModuleDict(
                {
                    "neck": nn.Conv1d(inputs, 3, 1, bias=False),
                    "convs": nn.ModuleList([nn.Conv1d(3, 2, k, padding="same", bias=False) for k in (10, 5, 2)]),
                    "pooled": nn.Conv1d(inputs, 2, 1, bias=False),
                    "norm": nn.BatchNorm1d(8),
                }
            )

        self.blocks = nn.ModuleList([module(2), module(8), module(8)])
        self.shortcut = nn.Sequential(nn.Conv1d(2, 8, 1, bias=False), nn.BatchNorm1d(8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        first = x
        for block in self.blocks:
            neck = block["neck"](x)
            pooled = block["pooled"](F.max_pool1d(x, 3, 1, 1))
            x = F.relu(block["norm"](torch.cat([*(conv(neck) for conv in block["convs"]), pooled], 1)))
        return self.head(F.relu(x + self.shortcut(first)).mean(2))


class SqueezeExcitation(nn.Module):
    def __init__(self, in_place: bool = False) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(2, 6, 3, padding=1), nn.BatchNorm1d(6)
        self.down, self.up = nn.Linear(6, 2), nn.Linear(2, 6)
        self.head = nn.Conv1d(6, 3, 1)
        self.in_place = in_place

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.norm(self.conv(x)))
        gate = torch.sigmoid(self.up(F.relu(self.down(x.mean(-1)))))[:, :, None]
        if self.in_place:
            x *= gate
        else:
            x = x * gate.expand_as(x)
        return self.head(x).amax(-1)


class Reused(nn.Module):
    """One module called three times, at three lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.norm = nn.Conv1d(2, 4, 3), nn.Conv1d(4, 4, 3, padding=1), nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(3):
            x = F.max_pool1d(F.relu(self.norm(self.conv(x))), 2)
        return self.head(x.sum(-1))


class EEGNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.temporal = nn.Sequential(nn.Conv2d(1, 4, (1, 8), padding="same", bias=False), nn.BatchNorm2d(4))
        self.spatial = nn.Sequential(
            nn.Conv2d(4, 8, (3, 1), groups=4, bias=False),
            nn.BatchNorm2d(8),
            nn.ELU(),
            nn.AvgPool2d((1, 2)),
            nn.Dropout(),
        )
        self.separable = nn.Sequential(
            nn.Conv2d(8, 8, (1, 4), padding=(0, 2), groups=8, bias=False), nn.Conv2d(8, 6, 1, bias=False),
            nn.BatchNorm2d(6), nn.ELU(), nn.AvgPool2d((1, 4)), nn.Dropout(), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(18, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.separable(self.spatial(self.temporal(x[:, None]))))


class ShallowConvNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.temporal, self.spatial = nn.Conv2d(1, 4, (1, 5)), nn.Conv2d(4, 4, (3, 1), bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Conv2d(4, 3, (1, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.spatial(self.temporal(x.unsqueeze(1))))
        x = F.avg_pool2d(x * x, (1, 6), (1, 4))
        x = torch.log(torch.clamp(x, min=1e-6))
        return self.head(x).flatten(2).mean(2)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU())
        self.down2 = nn.Sequential(nn.Conv1d(4, 6, 3, padding=1, padding_mode="circular"), nn.BatchNorm1d(6), nn.ReLU())
        self.up = nn.Sequential(nn.ConvTranspose1d(6, 4, 4, 2, 1), nn.BatchNorm1d(4), nn.ReLU())
        self.out = nn.Conv1d(8, 3, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        first = self.down1(x)
        second = self.up(self.down2(F.max_pool1d(first, 2)))
        second = F.pad(second, (0, first.shape[-1] - second.shape[-1]))
        return self.out(torch.cat([first, F.interpolate(second, size=first.shape[-1], mode="linear")], 1)).mean(-1)


class LocalResponse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 3, stride=2), nn.Conv2d(6, 8, 3, padding=1, groups=2)
        self.fc1, self.fc2 = nn.Linear(48, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.local_response_norm(F.relu(self.conv1(x[:, None])), 5, 0.5, 0.75, 2.0)
        x = F.relu(self.conv2(F.max_pool2d(x, (1, 2))))
        return self.fc2(F.dropout(F.elu(self.fc1(F.adaptive_avg_pool2d(x, (2, 3)).flatten(1))), training=self.training))


class Norms(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv1d(2, 6, 3), nn.Conv1d(6, 6, 3), nn.Conv1d(6, 6, 3)])
        self.group, self.instance = nn.GroupNorm(3, 6), nn.InstanceNorm1d(6, affine=True)
        self.layer, self.rms = nn.LayerNorm(6), nn.RMSNorm(6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.group(self.convs[0](x)))
        x = F.mish(self.instance(self.convs[1](x)))
        x = torch.tanh(self.layer(self.convs[2](x).mT))
        return self.head(self.rms(x).mean(1))


class Several(nn.Module):
    """Two inputs, one of them with statistics of its own; a dict with a tuple comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv1d(2, 4, 3), nn.Linear(3, 4)
        self.mix, self.head = nn.Bilinear(4, 4, 5), nn.Linear(5, 3)

    def forward(self, signal: Tensor, extra: Tensor) -> dict[str, Any]:
        a = F.relu(self.conv(signal)).mean(-1)
        b = torch.sigmoid(self.dense(extra))
        logits = self.head(F.relu(self.mix(a, b)) + self.mix(a, b))
        return {"logits": logits, "parts": (a, b)}


def vgg() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 3)), nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(True),
        nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(True), nn.MaxPool2d((1, 2)),
        nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(True), nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten(),
        nn.Linear(36, 8), nn.ReLU(True), nn.Dropout(), nn.Linear(8, 3),
    )  # fmt: skip


def video() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(1, 3, (3, 3, 3), padding=1), nn.BatchNorm3d(3), nn.ReLU(), nn.MaxPool3d((1, 2, 2)),
        nn.Conv3d(3, 4, (3, 1, 1), bias=False), nn.BatchNorm3d(4), nn.ReLU6(), nn.AvgPool3d((2, 1, 1)),
        nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


def plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 4, 5, padding=2), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(4, 6, 3, stride=2),
        nn.BatchNorm1d(6), nn.ReLU(), nn.AvgPool1d(2), nn.Flatten(), nn.Linear(18, 3),
    )  # fmt: skip


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.BatchNorm1d(54), nn.Linear(54, 16), nn.ReLU(), nn.Linear(16, 12), nn.BatchNorm1d(12),
        nn.LeakyReLU(0.2), nn.Linear(12, 3),
    )  # fmt: skip


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "plain": (plain, (3, 2, 30)),
    "resnet": (ResNet1d, (3, 2, 24)),
    "resnet in place": (InPlaceResNet, (3, 2, 24)),
    "densenet": (DenseNet, (3, 2, 20)),
    "inceptiontime": (InceptionTime, (3, 2, 20)),
    "squeeze-excitation": (SqueezeExcitation, (3, 2, 16)),
    "squeeze-excitation in place": (lambda: SqueezeExcitation(True), (3, 2, 16)),
    "reused": (Reused, (3, 2, 26)),
    "eegnet": (EEGNet, (2, 3, 24)),
    "shallowconvnet": (ShallowConvNet, (2, 3, 32)),
    "unet": (UNet, (2, 2, 17)),
    "lrn": (LocalResponse, (2, 7, 15)),
    "norms": (Norms, (2, 2, 14)),
    "vgg": (vgg, (2, 3, 14)),
    "video": (video, (2, 1, 6, 6, 6)),
    "mlp": (mlp, (3, 54)),
}


def network(name: str) -> tuple[nn.Module, Tensor]:
    """Return a network, randomised, and a batch for it."""
    make, shape = NETWORKS[name]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return randomise(make()), x

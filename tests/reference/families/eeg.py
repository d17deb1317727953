"""Classifiers of multichannel EEG trials, (trial, channel, time)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv2dWithConstraint(nn.Conv2d):
    """A convolution whose filters are scaled down, at every call, to a largest norm."""

    def __init__(self, *args: Any, max_norm: float = 1.0, **kwargs: Any) -> None:
        self.max_norm = max_norm
        super().__init__(*args, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data = torch.renorm(self.weight.data, p=2, dim=0, maxnorm=self.max_norm)
        return super().forward(x)


class LinearWithConstraint(nn.Linear):
    def __init__(self, *args: Any, max_norm: float = 0.25, **kwargs: Any) -> None:
        self.max_norm = max_norm
        super().__init__(*args, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data = torch.renorm(self.weight.data, p=2, dim=0, maxnorm=self.max_norm)
        return F.linear(x, self.weight, self.bias)


class Expression(nn.Module):
    """A module of a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class EEGNet(nn.Module):
    """Lawhern et al. 2018, doi:10.1088/1741-2552/aace8c."""

    def __init__(self, channels: int = 8, samples: int = 128, f1: int = 4, depth: int = 2, classes: int = 4) -> None:
        super().__init__()
        f2 = f1 * depth
        self.conv1 = nn.Conv2d(1, f1, (1, 32), padding=(0, 16), bias=False)
        self.bn1 = nn.BatchNorm2d(f1, momentum=0.01, eps=0.001)
        self.depthwise = Conv2dWithConstraint(f1, f2, (channels, 1), groups=f1, bias=False, max_norm=1.0)
        self.bn2 = nn.BatchNorm2d(f2)
        self.separable = nn.Conv2d(f2, f2, (1, 16), padding=(0, 8), groups=f2, bias=False)
        self.pointwise = nn.Conv2d(f2, f2, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(f2)
        self.fc = LinearWithConstraint(f2 * (samples // 32), classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(torch.unsqueeze(x, 1)))
        x = F.elu(self.bn2(self.depthwise(x)))
        x = F.dropout(F.avg_pool2d(x, (1, 4)), 0.25, training=self.training)
        x = F.elu(self.bn3(self.pointwise(self.separable(x))), inplace=True)
        x = F.dropout(F.avg_pool2d(x, (1, 8)), 0.25, training=self.training)
        return self.fc(x.view(x.size(0), -1))


def shallow_conv_net(channels: int = 8, classes: int = 4) -> nn.Module:
    """Schirrmeister et al. 2017, doi:10.1002/hbm.23730; as a sequence of expressions."""
    return nn.Sequential(
        Expression(lambda x: x[:, None].permute(0, 1, 3, 2)),
        nn.Conv2d(1, 6, (13, 1)),
        nn.Conv2d(6, 6, (1, channels), bias=False),
        nn.BatchNorm2d(6),
        Expression(lambda x: x * x),
        nn.AvgPool2d((25, 1), (8, 1)),
        Expression(lambda x: torch.log(torch.clamp(x, min=1e-6))),
        nn.Dropout(),
        nn.Conv2d(6, classes, (12, 1)),
        Expression(lambda x: x.squeeze(3).squeeze(2)),
    )


class Deep4(nn.Module):
    """Schirrmeister et al. 2017, doi:10.1002/hbm.23730; ends in the logarithm of a softmax."""

    def __init__(self, channels: int = 8, classes: int = 4) -> None:
        super().__init__()
        self.add_module("conv_time", nn.Conv2d(1, 5, (5, 1)))
        self.add_module("conv_spat", nn.Conv2d(5, 5, (1, channels), bias=False))
        self.add_module("bnorm", nn.BatchNorm2d(5, affine=True, eps=1e-5))
        for i, (inside, outside) in enumerate(((5, 6), (6, 8), (8, 10)), 2):
            self.add_module(f"conv_{i}", nn.Conv2d(inside, outside, (5, 1), bias=False))
            self.add_module(f"bnorm_{i}", nn.BatchNorm2d(outside))
        self.add_module("conv_classifier", nn.Conv2d(10, classes, (3, 1)))
        self.add_module("softmax", nn.LogSoftmax(dim=1))

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(-1).permute(0, 3, 2, 1)
        x = F.max_pool2d(F.elu(self.bnorm(self.conv_spat(self.conv_time(x)))), (2, 1), (2, 1))
        for i in (2, 3, 4):
            x = getattr(self, f"bnorm_{i}")(getattr(self, f"conv_{i}")(F.dropout(x, 0.5, self.training)))
            x = F.max_pool2d(F.elu(x), kernel_size=(2, 1), stride=(2, 1))
        x = self.softmax(self.conv_classifier(x))
        return x[:, :, 0, 0]


class HandGELU(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


class EinsumAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.width, self.heads = width, heads
        self.keys, self.queries, self.values = (nn.Linear(width, width) for _ in range(3))
        self.drop, self.projection = nn.Dropout(0.5), nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        def divided(y: Tensor) -> Tensor:
            return y.reshape(y.shape[0], y.shape[1], self.heads, -1).permute(0, 2, 1, 3)

        queries, keys, values = divided(self.queries(x)), divided(self.keys(x)), divided(self.values(x))
        energy = torch.einsum("bhqd, bhkd -> bhqk", queries, keys)
        if mask is not None:
            energy.masked_fill_(~mask, torch.finfo(energy.dtype).min)
        weights = self.drop(F.softmax(energy / self.width ** (1 / 2), dim=-1))
        out = torch.einsum("bhal, bhlv -> bhav", weights, values)
        return self.projection(out.permute(0, 2, 1, 3).flatten(2))


class ResidualAdd(nn.Module):
    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor, **kwargs: Any) -> Tensor:
        res = x
        x = self.fn(x, **kwargs)
        x += res
        return x


class EEGConformer(nn.Module):
    """Song et al. 2023, doi:10.1109/TNSRE.2022.3230250; attention written with einsum, the GELU by hand."""

    def __init__(self, channels: int = 8, width: int = 12, depth: int = 2, classes: int = 4) -> None:
        super().__init__()
        self.shallownet = nn.Sequential(
            nn.Conv2d(1, width, (1, 13)), nn.Conv2d(width, width, (channels, 1)), nn.BatchNorm2d(width), nn.ELU(),
            nn.AvgPool2d((1, 20), (1, 8)), nn.Dropout(0.5),
        )  # fmt: skip
        self.projection = nn.Conv2d(width, width, 1)
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [
                ResidualAdd(nn.Sequential(nn.LayerNorm(width), EinsumAttention(width, 3), nn.Dropout(0.5))),
                ResidualAdd(
                    nn.Sequential(
                        nn.LayerNorm(width), nn.Linear(width, 24), HandGELU(), nn.Dropout(0.5), nn.Linear(24, width)
                    )
                ),
            ]
        self.encoder = nn.Sequential(*layers)
        self.fc = nn.Sequential(nn.Linear(width * 13, 16), nn.ELU(), nn.Dropout(0.5), nn.Linear(16, classes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.projection(self.shallownet(x.unsqueeze(1)))
        b, e, h, w = x.shape
        x = self.encoder(x.permute(0, 2, 3, 1).reshape(b, h * w, e))
        x = x.contiguous().view(x.size(0), -1)
        return self.fc(x), x


class CausalBlock(nn.Module):
    def __init__(self, inside: int, outside: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.pad = (kernel - 1) * dilation
        self.conv1 = nn.Conv1d(inside, outside, kernel, dilation=dilation)
        self.conv2 = nn.Conv1d(outside, outside, kernel, dilation=dilation)
        self.bn1, self.bn2 = nn.BatchNorm1d(outside), nn.BatchNorm1d(outside)

    def forward(self, x: Tensor) -> Tensor:
        out = F.elu(self.bn1(self.conv1(F.pad(x, (self.pad, 0)))))
        out = F.elu(self.bn2(self.conv2(F.pad(out, (self.pad, 0)))))
        return F.elu(out + x)


class ATCNet(nn.Module):
    """Altaheri et al. 2023, doi:10.1109/TII.2022.3197419: windows, attention and a causal net for each."""

    def __init__(self, channels: int = 8, classes: int = 4, windows: int = 3) -> None:
        super().__init__()
        self.windows = windows
        self.conv_block = nn.Sequential(
            nn.Conv2d(1, 4, (1, 16), padding="same", bias=False), nn.BatchNorm2d(4),
            Conv2dWithConstraint(4, 8, (channels, 1), groups=4, bias=False), nn.BatchNorm2d(8), nn.ELU(),
            nn.AvgPool2d((1, 4)), nn.Conv2d(8, 8, (1, 8), padding="same", bias=False), nn.BatchNorm2d(8), nn.ELU(),
            nn.AvgPool2d((1, 2)),
        )  # fmt: skip
        self.norms = nn.ModuleList([nn.LayerNorm(8, eps=1e-6) for _ in range(windows)])
        self.attentions = nn.ModuleList([nn.MultiheadAttention(8, 2, batch_first=True) for _ in range(windows)])
        self.tcns = nn.ModuleList(
            [nn.Sequential(CausalBlock(8, 8, 4, 1), CausalBlock(8, 8, 4, 2)) for _ in range(windows)]
        )
        self.heads = nn.ModuleList([LinearWithConstraint(8, classes) for _ in range(windows)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_block(x.unsqueeze(dim=1))[:, :, 0, :]
        length = x.shape[-1] - self.windows + 1
        outputs = []
        for i in range(self.windows):
            window = x[..., i : i + length].transpose(1, 2)
            normed = self.norms[i](window)
            attended, _ = self.attentions[i](normed, normed, normed)
            window = (window + attended).transpose(1, 2)
            outputs.append(self.heads[i](self.tcns[i](window)[..., -1]))
        return torch.mean(torch.stack(outputs, dim=1), dim=1)


class DGCNN(nn.Module):
    """Song et al. 2020, doi:10.1109/TAFFC.2018.2817622: a learned adjacency, Chebyshev polynomials of it."""

    def __init__(self, channels: int = 8, features: int = 5, order: int = 3, classes: int = 3) -> None:
        super().__init__()
        self.order = order
        self.norm = nn.BatchNorm1d(features)
        self.adjacency = nn.Parameter(torch.empty(channels, channels))
        nn.init.xavier_normal_(self.adjacency)
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(features, 6) / 2) for _ in range(order)])
        self.fc1, self.fc2 = nn.Linear(channels * 6, 16), nn.Linear(16, classes)

    @staticmethod
    def normalised(adjacency: Tensor, symmetric: bool = True) -> Tensor:
        adjacency = F.relu(adjacency)
        if symmetric:
            adjacency = adjacency + torch.transpose(adjacency, 0, 1)
        degree = torch.sum(adjacency, 1)
        degree = torch.diag(1 / torch.sqrt(degree + 1e-10))
        return torch.matmul(torch.matmul(degree, adjacency), degree)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        laplacian = self.normalised(self.adjacency)
        polynomials = [torch.eye(laplacian.shape[0], dtype=x.dtype, device=x.device), laplacian]
        while len(polynomials) < self.order:
            polynomials.append(torch.mm(polynomials[-1], laplacian))
        result = None
        for support, weight in zip(polynomials, self.weights, strict=True):
            part = torch.matmul(torch.matmul(support, x), weight)
            result = part if result is None else result + part
        result = F.relu(result)
        return self.fc2(F.relu(self.fc1(result.reshape(x.shape[0], -1))))


class SignalGraph(nn.Module):
    """Graph convolution whose adjacency is the similarity of the channels, normalised by its degrees."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv1d(1, 6, 9, stride=4), nn.BatchNorm1d(6), nn.ReLU(True))
        self.pool = nn.AdaptiveAvgPool1d(4)
        self.gcn1, self.gcn2 = nn.Linear(24, 10, bias=False), nn.Linear(10, 6)
        self.head = nn.Linear(6, classes)

    def forward(self, x: Tensor) -> Tensor:
        b, c, t = x.shape
        h = self.pool(self.encoder(x.reshape(b * c, 1, t))).view(b, c, -1)
        adjacency = torch.relu(torch.matmul(h, h.permute(0, 2, 1)) - 0.1) + torch.eye(c, dtype=h.dtype)
        degree = adjacency.sum(dim=-1).pow(-0.5)
        adjacency = degree.unsqueeze(-1) * adjacency * degree.unsqueeze(-2)
        h = F.relu(torch.bmm(adjacency, self.gcn1(h)))
        h = F.relu(torch.bmm(adjacency, self.gcn2(h)))
        return self.head(h.max(dim=1)[0])


class PatchTransformer(nn.Module):
    """Patches of time as tokens, torch's own encoder, the class read from a token of its own."""

    def __init__(self, channels: int = 6, patch: int = 16, width: int = 16, classes: int = 3) -> None:
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(channels * patch, width)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, 9, width) * 0.3)
        layer = nn.TransformerEncoderLayer(width, 4, 32, dropout=0.1, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        b = x.shape[0]
        x = x.unfold(-1, self.patch, self.patch).permute(0, 2, 1, 3).contiguous().view(b, -1, x.shape[1] * self.patch)
        x = torch.cat((self.cls_token.expand(b, -1, -1), self.embed(x)), dim=1)
        x = self.encoder(x + self.pos_embed[:, : x.size(1)])
        return self.head(self.norm(x)[:, 0])


class CovarianceNet(nn.Module):
    """Second moments, mapped from both sides and shrunk, and the logarithm of their diagonal."""

    def __init__(self, channels: int = 8, classes: int = 3) -> None:
        super().__init__()
        self.w1, self.w2 = nn.Parameter(torch.randn(6, channels) / 3), nn.Parameter(torch.randn(5, 6) / 2)
        self.register_buffer("rows", torch.triu_indices(5, 5, 1)[0])
        self.register_buffer("columns", torch.triu_indices(5, 5, 1)[1])
        self.fc = nn.Linear(15, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean(dim=-1, keepdim=True)
        cov = x @ x.transpose(-1, -2) / (x.shape[-1] - 1)
        cov = cov / torch.diagonal(cov, dim1=-2, dim2=-1).sum(-1)[:, None, None]
        cov = cov + 1e-3 * torch.eye(cov.shape[-1], dtype=cov.dtype, device=cov.device)
        cov = self.w1 @ cov @ self.w1.t()
        cov = torch.matmul(torch.matmul(self.w2.unsqueeze(0), cov), self.w2.unsqueeze(0).transpose(1, 2))
        powers = torch.log(torch.diagonal(cov, dim1=1, dim2=2))
        return self.fc(torch.cat([powers, cov[:, self.rows, self.columns]], dim=1))


class RiemannNet(nn.Module):
    """SPDNet (Huang and Van Gool 2017, arXiv:1608.04233): matrix logarithm by eigenvalues."""

    def __init__(self, channels: int = 6, classes: int = 3) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.linalg.qr(torch.randn(channels, 4))[0])
        self.fc = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        cov = torch.bmm(x, x.transpose(1, 2)) / x.size(2)
        cov = self.w.t().matmul(cov).matmul(self.w)
        values, vectors = torch.linalg.eigh(cov)
        values = torch.log(torch.clamp(values, min=1e-4))
        cov = vectors @ torch.diag_embed(values) @ vectors.transpose(-2, -1)
        return self.fc(cov.view(cov.size(0), -1))


class FBCNet(nn.Module):
    """Mane et al. 2021, arXiv:2104.01233: a bank of filters, spatial filters, the variance of pieces of time."""

    def __init__(self, channels: int = 8, bands: int = 4, per_band: int = 3, classes: int = 4, pieces: int = 4) -> None:
        super().__init__()
        self.bands, self.pieces = bands, pieces
        n = torch.arange(-20, 21)
        edges = torch.linspace(0.04, 0.4, bands + 1)
        sinc = [torch.sinc(2 * f * n) * 2 * f * torch.hamming_window(41, periodic=False) for f in edges]
        self.register_buffer("filters", torch.stack([sinc[i + 1] - sinc[i] for i in range(bands)])[:, None])
        self.scb = Conv2dWithConstraint(bands, bands * per_band, (channels, 1), groups=bands, max_norm=2.0)
        self.bn = nn.BatchNorm2d(bands * per_band)
        self.head = LinearWithConstraint(bands * per_band * pieces, classes, max_norm=0.5)

    def forward(self, x: Tensor) -> Tensor:
        b, c, t = x.shape
        x = F.conv1d(x.reshape(b * c, 1, t), self.filters, padding=20)
        x = x.view(b, c, self.bands, t).permute(0, 2, 1, 3)
        x = self.bn(self.scb(x))
        x = x * torch.sigmoid(x)
        x = x.reshape([*x.shape[0:2], self.pieces, int(x.shape[3] / self.pieces)])
        x = torch.log(torch.clamp(x.var(dim=3, keepdim=True), 1e-6, 1e6))
        return self.head(torch.flatten(x, start_dim=1))


class AttentiveLSTM(nn.Module):
    """Convolutions, an LSTM in both directions, additive attention over time."""

    def __init__(self, channels: int = 8, hidden: int = 6, classes: int = 3) -> None:
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv1d(channels, 10, 7, stride=2, padding=3), nn.BatchNorm1d(10), nn.ReLU(inplace=True),
            nn.MaxPool1d(2), nn.Conv1d(10, 8, 5, padding=2), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.MaxPool1d(2),
        )  # fmt: skip
        self.lstm = nn.LSTM(8, hidden, num_layers=2, batch_first=True, bidirectional=True, dropout=0.3)
        self.w, self.u = nn.Linear(2 * hidden, 8), nn.Linear(8, 1, bias=False)
        self.fc = nn.Linear(2 * hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.cnn(x).permute(0, 2, 1)
        self.lstm.flatten_parameters()
        out, (_h, _c) = self.lstm(x)
        score = self.u(torch.tanh(self.w(out)))
        alpha = torch.softmax(score, dim=1)
        context = torch.sum(alpha * out, dim=1)
        return self.fc(context)


class TSception(nn.Module):
    """Ding et al. 2023, doi:10.1109/TAFFC.2022.3169001: three scales of time, both hemispheres, log power."""

    def __init__(self, channels: int = 8, classes: int = 2, filters: int = 4) -> None:
        super().__init__()
        self.pool = 8
        self.t1, self.t2, self.t3 = (self.block(1, filters, (1, k), 4) for k in (31, 15, 7))
        self.s1 = self.block(filters, filters, (channels, 1), 2)
        self.s2 = self.block(filters, filters, (channels // 2, 1), 2, (channels // 2, 1))
        self.fusion = self.block(filters, filters, (3, 1), 2)
        self.bn_t, self.bn_s, self.bn_f = (nn.BatchNorm2d(filters) for _ in range(3))
        self.fc = nn.Sequential(nn.Linear(filters, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, classes))

    @staticmethod
    def block(inside: int, outside: int, kernel: Any, pool: int, stride: Any = 1) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inside, outside, kernel, stride), nn.LeakyReLU(), nn.AvgPool2d((1, pool)))

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(1)
        y = self.t1(x)
        out = y
        for temporal in (self.t2, self.t3):
            out = torch.cat((out, temporal(x)), dim=-1)
        out = self.bn_t(out)
        z = self.s1(out)
        z = self.bn_s(torch.cat((z, self.s2(out)), dim=2))
        z = self.bn_f(self.fusion(z))
        return self.fc(torch.squeeze(torch.mean(z, dim=-1), dim=-1))


class LMDANet(nn.Module):
    """Miao et al. 2023, doi:10.1016/j.neuroimage.2023.120209: channels and depths weighted by attention."""

    def __init__(self, channels: int = 8, samples: int = 128, classes: int = 4, depth: int = 3, width: int = 6) -> None:
        super().__init__()
        self.channel_weight = nn.Parameter(torch.randn(depth, 1, channels))
        nn.init.xavier_uniform_(self.channel_weight.data)
        self.time_conv = nn.Sequential(
            nn.Conv2d(depth, width, 1, bias=False), nn.BatchNorm2d(width),
            nn.Conv2d(width, width, (1, 17), groups=width, bias=False), nn.BatchNorm2d(width), nn.GELU(),
        )  # fmt: skip
        self.depth_conv = nn.Conv2d(1, 1, (3, 1), padding=(1, 0))
        self.chanel_conv = nn.Sequential(
            nn.Conv2d(width, 5, 1, bias=False), nn.BatchNorm2d(5),
            nn.Conv2d(5, 5, (channels, 1), groups=5, bias=False), nn.BatchNorm2d(5), nn.GELU(),
        )  # fmt: skip
        self.norm = nn.Sequential(nn.AvgPool3d((1, 1, 5)), nn.Dropout(0.65))
        self.classifier = nn.Linear(5 * ((samples - 16) // 5), classes)

    def depth_attention(self, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(x, (1, x.shape[-1])).transpose(-2, -3)
        y = self.depth_conv(pooled)
        y = F.softmax(y, dim=-2).transpose(-2, -3)
        return y * x.shape[1] * x

    def forward(self, x: Tensor) -> Tensor:
        x = torch.einsum("bdcw, hdc->bhcw", x.unsqueeze(1), self.channel_weight)
        x = self.chanel_conv(self.depth_attention(self.time_conv(x)))
        return self.classifier(torch.flatten(self.norm(x), 1))


def trials(channels: int, samples: int, batch: int = 2) -> Tensor:
    """Return noise, low-passed so that neighbouring samples are alike."""
    x = torch.randn(batch, channels, samples + 4)
    return x.unfold(2, 5, 1).mean(-1) * 2


MODELS: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "EEGNet": lambda: (EEGNet(), trials(8, 128, 3)),
    "ShallowConvNet": lambda: (shallow_conv_net(), trials(8, 125)),
    "Deep4": lambda: (Deep4(), trials(8, 124)),
    "EEGConformer": lambda: (EEGConformer(), trials(8, 128)),
    "ATCNet": lambda: (ATCNet(), trials(8, 128)),
    "DGCNN": lambda: (DGCNN(), torch.randn(3, 8, 5)),
    "SignalGraph": lambda: (SignalGraph(), trials(8, 128)),
    "PatchTransformer": lambda: (PatchTransformer(), trials(6, 128)),
    "CovarianceNet": lambda: (CovarianceNet(), trials(8, 96, 3)),
    "RiemannNet": lambda: (RiemannNet(), trials(6, 96)),
    "FBCNet": lambda: (FBCNet(), trials(8, 128)),
    "AttentiveLSTM": lambda: (AttentiveLSTM(), trials(8, 128)),
    "TSception": lambda: (TSception(), trials(8, 128)),
    "LMDANet": lambda: (LMDANet(), trials(8, 128)),
}

CONSTANTS_LEFT: dict[str, str] = {
    "ShallowConvNet": "the least power that the logarithm is taken of",
    "Deep4": "the normaliser of the log-softmax",
    "SignalGraph": "a threshold below the similarities and the loops of the graph",
    "CovarianceNet": "the multiple of the identity that covariances are shrunk towards",
    "RiemannNet": "the least eigenvalue that the logarithm is taken of",
    "FBCNet": "the least variance that the logarithm is taken of",
}

ANY_LENGTH: dict[str, int] = {}

"""Classifiers of generic time series, (series, channel, time)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class InceptionBlock(nn.Module):
    def __init__(self, inside: int, filters: int = 3) -> None:
        super().__init__()
        self.bottleneck = nn.Conv1d(inside, filters, 1, bias=False) if inside > 1 else nn.Identity()
        self.convs = nn.ModuleList([nn.Conv1d(filters, filters, k, padding=k // 2, bias=False) for k in (19, 9, 5)])
        self.maxconvpool = nn.Sequential(nn.MaxPool1d(3, 1, padding=1), nn.Conv1d(inside, filters, 1, bias=False))
        self.bn, self.act = nn.BatchNorm1d(4 * filters), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        input_tensor = x
        x = self.bottleneck(input_tensor)
        x = torch.cat([conv(x) for conv in self.convs] + [self.maxconvpool(input_tensor)], dim=1)
        return self.act(self.bn(x))


class InceptionTime(nn.Module):
    """Ismail Fawaz et al. 2020, doi:10.1007/s10618-020-00710-y."""

    def __init__(self, channels: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.inception = nn.ModuleList([InceptionBlock(channels if i == 0 else 12) for i in range(3)])
        self.shortcut = nn.Sequential(nn.Conv1d(channels, 12, 1, bias=False), nn.BatchNorm1d(12))
        self.add_act, self.fc = nn.ReLU(), nn.Linear(12, classes)

    def forward(self, x: Tensor) -> Tensor:
        res = x
        for block in self.inception:
            x = block(x)
        x = self.add_act(self.shortcut(res).add_(x))
        return self.fc(F.adaptive_avg_pool1d(x, 1).squeeze(-1))


class SqueezeExcite(nn.Module):
    def __init__(self, width: int, reduction: int = 4) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool1d(1)
        self.fc = nn.Sequential(
            nn.Linear(width, width // reduction, bias=False), nn.ReLU(inplace=True),
            nn.Linear(width // reduction, width, bias=False), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        y = self.avg_pool(x).squeeze(-1)
        y = self.fc(y).unsqueeze(2)
        return x * y.expand_as(x)


class RecurrentFCN(nn.Module):
    """LSTM-FCN (Karim et al. 2018, doi:10.1109/ACCESS.2017.2779939) and its kin with GRU and squeeze-excite."""

    def __init__(
        self, cell: type[nn.RNNBase], squeeze: bool, shuffle: bool, channels: int = 3, length: int = 40
    ) -> None:
        super().__init__()
        self.shuffle = shuffle
        self.rnn = cell(length if shuffle else channels, 8, 1, batch_first=True)
        sizes = ((channels, 8, 7), (8, 12, 5), (12, 8, 3))
        self.convs = nn.ModuleList(
            [
                nn.Sequential(nn.Conv1d(i, o, k, padding="same", bias=False), nn.BatchNorm1d(o), nn.ReLU())
                for i, o, k in sizes
            ]
        )
        self.ses = nn.ModuleList([SqueezeExcite(o) if squeeze else nn.Identity() for _, o, _ in sizes])
        self.drop, self.fc = nn.Dropout(0.8), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        recurrent, _ = self.rnn(x if self.shuffle else x.permute(0, 2, 1))
        recurrent = self.drop(recurrent[:, -1])
        for conv, se in zip(self.convs, self.ses, strict=True):
            x = se(conv(x))
        return self.fc(torch.cat([recurrent, torch.mean(x, 2)], dim=1))


class ResidualBlock(nn.Module):
    def __init__(self, inside: int, outside: int, leaky: bool = False) -> None:
        super().__init__()
        sizes = ((inside, outside, 8), (outside, outside, 5), (outside, outside, 3))
        self.layers = nn.ModuleList([nn.Conv1d(i, o, k, padding="same") for i, o, k in sizes])
        self.bns = nn.ModuleList([nn.BatchNorm1d(outside) for _ in sizes])
        self.leaky = leaky
        self.downsample = None
        if inside != outside:
            self.downsample = nn.Sequential(nn.Conv1d(inside, outside, 1), nn.BatchNorm1d(outside))

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        for i, (conv, bn) in enumerate(zip(self.layers, self.bns, strict=True)):
            x = bn(conv(x))
            if i < 2:
                x = F.leaky_relu(x, 0.2, inplace=True) if self.leaky else F.relu(x, inplace=True)
        x += identity
        return F.relu_(x)


class ResNetSeries(nn.Module):
    """Wang et al. 2017, doi:10.1109/IJCNN.2017.7966039."""

    def __init__(self, channels: int = 3, classes: int = 3) -> None:
        super().__init__()
        self.blocks = nn.Sequential(ResidualBlock(channels, 6), ResidualBlock(6, 8), ResidualBlock(8, 8))
        self.fc = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(x).mean(dim=-1))


def res_cnn(channels: int = 3, classes: int = 3) -> nn.Module:
    """Zou et al. 2019, doi:10.1016/j.neucom.2019.08.053: one residual block, then activations of several kinds."""
    return nn.Sequential(
        ResidualBlock(channels, 6, leaky=True),
        nn.Conv1d(6, 8, 3, padding="same"), nn.BatchNorm1d(8), nn.LeakyReLU(0.2),
        nn.Conv1d(8, 8, 3, padding="same"), nn.BatchNorm1d(8), nn.PReLU(),
        nn.Conv1d(8, 6, 3, padding="same"), nn.BatchNorm1d(6), nn.ELU(0.3),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, classes),
    )  # fmt: skip


def fcn(channels: int = 3, classes: int = 3) -> nn.Module:
    """Wang et al. 2017; with the convolution before the batch norm and the pooling as a layer."""
    layers: list[nn.Module] = []
    for inside, outside, kernel in ((channels, 8, 7), (8, 12, 5), (12, 8, 3)):
        layers += [nn.Conv1d(inside, outside, kernel, padding=kernel // 2), nn.BatchNorm1d(outside), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.AvgPool1d(40), nn.Flatten(), nn.Linear(8, classes))


class BatchNormEncoderLayer(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, dropout=0.1)
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.BatchNorm1d(width, eps=1e-5), nn.BatchNorm1d(width, eps=1e-5)
        self.dropout = nn.Dropout(0.1)

    def forward(self, src: Tensor) -> Tensor:
        attended = self.self_attn(src, src, src, need_weights=False)[0]
        src = src + self.dropout(attended)
        src = self.norm1(src.permute(1, 2, 0)).permute(2, 0, 1)
        src = src + self.dropout(self.linear2(self.dropout(F.gelu(self.linear1(src)))))
        return self.norm2(src.permute(1, 2, 0)).permute(2, 0, 1)


class TST(nn.Module):
    """Zerveas et al. 2021, doi:10.1145/3447548.3467401: learned positions, batch norms inside the transformer."""

    def __init__(self, channels: int = 3, length: int = 32, width: int = 12, classes: int = 3) -> None:
        super().__init__()
        self.width = width
        self.project_inp = nn.Linear(channels, width)
        self.pos = nn.Parameter(torch.empty(length, 1, width))
        nn.init.uniform_(self.pos, -0.2, 0.2)
        self.layers = nn.ModuleList([BatchNormEncoderLayer(width, 3, 24) for _ in range(2)])
        self.output_layer = nn.Linear(width * length, classes)

    def forward(self, x: Tensor) -> Tensor:
        inp = x.permute(2, 0, 1)
        inp = self.project_inp(inp) * math.sqrt(self.width)
        output = inp + self.pos[: inp.size(0), :]
        for layer in self.layers:
            output = layer(output)
        output = F.gelu(output).permute(1, 0, 2)
        return self.output_layer(output.reshape(output.shape[0], -1))


class RevIN(nn.Module):
    """Kim et al. 2022: every series by its own mean and deviation."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.affine_weight, self.affine_bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        dims = tuple(range(1, x.ndim - 1))
        mean = torch.mean(x, dim=dims, keepdim=True).detach()
        stdev = torch.sqrt(torch.var(x, dim=dims, keepdim=True, unbiased=False) + self.eps).detach()
        return (x - mean) / stdev * self.affine_weight + self.affine_bias


class PatchTST(nn.Module):
    """Nie et al. 2023, arXiv:2211.14730: patches, each channel by itself, scores handed on from layer to layer."""

    def __init__(self, channels: int = 3, patch: int = 8, stride: int = 4, width: int = 12, classes: int = 3) -> None:
        super().__init__()
        self.patch, self.stride, self.heads = patch, stride, 3
        self.revin = RevIN(channels)
        self.w_p = nn.Linear(patch, width)
        self.pos_encoding = nn.Parameter(torch.randn(12, width) * 0.1)
        self.qkvs = nn.ModuleList([nn.Linear(width, 3 * width) for _ in range(2)])
        self.outs = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])
        self.ffs = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, 24), nn.GELU(), nn.Linear(24, width)) for _ in range(2)]
        )
        self.norms = nn.ModuleList([nn.BatchNorm1d(width) for _ in range(4)])
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(channels * width, classes))

    def norm(self, i: int, x: Tensor) -> Tensor:
        return self.norms[i](x.transpose(1, 2)).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.revin(x.permute(0, 2, 1)).permute(0, 2, 1)
        x = F.pad(x, (0, self.stride), mode="replicate")
        x = x.unfold(dimension=-1, size=self.patch, step=self.stride)
        b, c, n, p = x.shape
        u = self.w_p(x.reshape(b * c, n, p)) + self.pos_encoding[:n]
        scores: Any = None
        for i in range(2):
            q, k, v = (t.view(b * c, n, self.heads, -1).transpose(1, 2) for t in self.qkvs[i](u).chunk(3, dim=-1))
            now = torch.matmul(q, k.transpose(-2, -1)) * (q.size(-1) ** -0.5)
            scores = now if scores is None else now + scores
            out = torch.matmul(F.softmax(scores, dim=-1), v)
            u = self.norm(2 * i, u + self.outs[i](out.transpose(1, 2).contiguous().view(b * c, n, -1)))
            u = self.norm(2 * i + 1, u + self.ffs[i](u))
        return self.head(u.mean(1).reshape(b, c, -1))


class Chomp1d(nn.Module):
    def __init__(self, chomp_size: int) -> None:
        super().__init__()
        self.chomp_size = chomp_size

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, : -self.chomp_size].contiguous()


class TemporalBlock(nn.Module):
    def __init__(self, inside: int, outside: int, kernel: int, dilation: int, norm: Callable[[Any], Any]) -> None:
        super().__init__()
        pad = (kernel - 1) * dilation
        self.conv1 = norm(nn.Conv1d(inside, outside, kernel, padding=pad, dilation=dilation))
        self.conv2 = norm(nn.Conv1d(outside, outside, kernel, padding=pad, dilation=dilation))
        self.net = nn.Sequential(
            self.conv1, Chomp1d(pad), nn.ReLU(), nn.Dropout(0.2), self.conv2, Chomp1d(pad), nn.ReLU(), nn.Dropout(0.2)
        )
        self.downsample = nn.Conv1d(inside, outside, 1) if inside != outside else None
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out = self.net(x)
        res = x if self.downsample is None else self.downsample(x)
        return self.relu(out + res)


class TCN(nn.Module):
    """Bai et al. 2018, arXiv:1803.01271: causal dilated convolutions with weight norm, the last instant read."""

    def __init__(self, norm: Callable[[Any], Any], channels: int = 3, classes: int = 3) -> None:
        super().__init__()
        sizes = (channels, 8, 8, 6)
        self.network = nn.Sequential(
            *(TemporalBlock(sizes[i], sizes[i + 1], 3, 2**i, norm) for i in range(len(sizes) - 1))
        )
        self.linear = nn.Linear(sizes[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.network(x)[:, :, -1])


def old_weight_norm(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(module)


class AttentiveGRU(nn.Module):
    """A GRU in both directions; time is weighed by the similarity to the last state (Luong)."""

    def __init__(self, channels: int = 3, hidden: int = 8, classes: int = 3) -> None:
        super().__init__()
        self.hidden = hidden
        self.gru = nn.GRU(channels, hidden, num_layers=1, bidirectional=True)
        self.fc = nn.Linear(2 * hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(2, 0, 1)
        h0 = torch.zeros(2, x.size(1), self.hidden, dtype=x.dtype, device=x.device)
        output, final = self.gru(x, h0)
        output = output.permute(1, 0, 2)
        hidden = torch.cat((final[-2], final[-1]), dim=1).unsqueeze(2)
        weights = torch.bmm(output, hidden).squeeze(2)
        soft = F.softmax(weights, 1)
        context = torch.bmm(output.transpose(1, 2), soft.unsqueeze(2)).squeeze(2)
        return self.fc(context)


class OmniScale(nn.Module):
    """Tang et al. 2022, arXiv:2002.10061: kernels of prime sizes, side by side under one mask."""

    def __init__(self, channels: int = 3, classes: int = 3) -> None:
        super().__init__()
        sizes = (1, 2, 3, 5, 7)
        self.weights, self.biases, self.bns = nn.ParameterList(), nn.ParameterList(), nn.ModuleList()
        inside = channels
        for layer, outside in enumerate((3, 2, 2)):
            mask = torch.zeros(outside * len(sizes), inside, max(sizes))
            for i, size in enumerate(sizes):
                start = (max(sizes) - size) // 2
                mask[i * outside : (i + 1) * outside, :, start : start + size] = 1
            self.register_buffer(f"mask{layer}", mask)
            self.weights.append(nn.Parameter(torch.randn_like(mask) * (2 / inside / 4) ** 0.5))
            self.biases.append(nn.Parameter(torch.zeros(len(mask))))
            self.bns.append(nn.BatchNorm1d(len(mask)))
            inside = len(mask)
        self.hidden = nn.Linear(inside, classes)

    def forward(self, x: Tensor) -> Tensor:
        for i, (weight, bias, bn) in enumerate(zip(self.weights, self.biases, self.bns, strict=True)):
            weight.data = weight * getattr(self, f"mask{i}")
            x = F.conv1d(F.pad(x, (3, 3)), weight, bias)
            x = bn(x)
            if i < 2:
                x = F.relu(x)
        return self.hidden(F.adaptive_avg_pool1d(x, 1).squeeze(-1))


class SeparableConv1d(nn.Module):
    def __init__(self, inside: int, outside: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(inside, inside, kernel, padding=kernel // 2, groups=inside, bias=False)
        self.pointwise = nn.Conv1d(inside, outside, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class XceptionTime(nn.Module):
    """Rahimian et al. 2019, arXiv:1911.03803: separable convolutions of three sizes, adaptive pooling of time."""

    def __init__(self, channels: int = 3, classes: int = 3, filters: int = 3) -> None:
        super().__init__()
        widths = (channels, 4 * filters, 4 * filters)
        self.necks = nn.ModuleList([nn.Conv1d(i, filters, 1, bias=False) for i in widths[:2]])
        self.convs = nn.ModuleList(
            [nn.ModuleList([SeparableConv1d(filters, filters, k) for k in (19, 9, 5)]) for _ in range(2)]
        )
        self.pools = nn.ModuleList(
            [nn.Sequential(nn.MaxPool1d(3, 1, 1), nn.Conv1d(i, filters, 1, bias=False)) for i in widths[:2]]
        )
        self.shortcut = nn.Sequential(nn.Conv1d(channels, widths[-1], 1, bias=False), nn.BatchNorm1d(widths[-1]))
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool1d(10), nn.Conv1d(widths[-1], 6, 1, bias=False), nn.BatchNorm1d(6), nn.ReLU(),
            nn.Conv1d(6, classes, 1, bias=False), nn.BatchNorm1d(classes), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        res = x
        for neck, convs, pool in zip(self.necks, self.convs, self.pools, strict=True):
            y = neck(x)
            x = torch.cat([*[conv(y) for conv in convs], pool(x)], dim=1)
        return self.head(F.relu(torch.add(x, self.shortcut(res))))


class MixerBlock(nn.Module):
    def __init__(self, patches: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(patches, 12), nn.GELU(), nn.Linear(12, patches))
        self.channels = nn.Sequential(nn.Linear(width, 24), nn.GELU(approximate="tanh"), nn.Linear(24, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class MLPMixer(nn.Module):
    """Tolstikhin et al. 2021, arXiv:2105.01601, over patches of a series."""

    def __init__(self, channels: int = 3, patch: int = 5, length: int = 40, width: int = 12, classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv1d(channels, width, patch, stride=patch)
        self.blocks = nn.Sequential(*(MixerBlock(length // patch, width) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x).mT)
        return self.head(self.norm(x).mean(dim=1))


class GatedMLP(nn.Module):
    """gMLP (Liu et al. 2021, arXiv:2105.08050): one half of the channels is mixed over time and gates the other."""

    def __init__(self, channels: int = 3, length: int = 24, width: int = 8, classes: int = 3) -> None:
        super().__init__()
        self.backbone = nn.Linear(channels, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.ins = nn.ModuleList([nn.Linear(width, 16) for _ in range(2)])
        self.gate_norms = nn.ModuleList([nn.LayerNorm(8) for _ in range(2)])
        self.spatial = nn.ModuleList([nn.Conv1d(length, length, 1) for _ in range(2)])
        self.outs = nn.ModuleList([nn.Linear(8, width) for _ in range(2)])
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.backbone(x.transpose(2, 1))
        for norm, wide, gate_norm, spatial, out in zip(
            self.norms, self.ins, self.gate_norms, self.spatial, self.outs, strict=True
        ):
            residual = x
            u, v = F.gelu(wide(norm(x))).chunk(2, dim=-1)
            x = out(u * spatial(gate_norm(v))) + residual
        return self.head(x.mean(dim=1))


class HandLayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.gamma, self.beta, self.eps = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        std = x.std(-1, keepdim=True)
        return self.gamma * (x - mean) / (std + self.eps) + self.beta


class HandRMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


class HandTransformer(nn.Module):
    """Norms, softmax and gates all written by hand; sinusoidal positions, FiLM by the mean of the series."""

    def __init__(self, channels: int = 3, length: int = 32, width: int = 12, classes: int = 3) -> None:
        super().__init__()
        self.d_k = width // 3
        self.embed = nn.Conv1d(channels, width, 4, stride=4)
        pe = torch.zeros(length // 4, width)
        position = torch.arange(0, length // 4).unsqueeze(1).float()
        div_term = torch.exp(torch.arange(0, width, 2).float() * -(math.log(10000.0) / width))
        pe[:, 0::2] = torch.sin(position * div_term)
        pe[:, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe.unsqueeze(0))
        self.norm1, self.norm2, self.norm3 = HandLayerNorm(width), HandRMSNorm(width), HandLayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.w1, self.w2, self.w3 = nn.Linear(width, 16), nn.Linear(16, width), nn.Linear(width, 16)
        self.film, self.highway = nn.Linear(channels, 2 * width), nn.Linear(width, width)
        self.head = nn.Linear(width, classes)

    @staticmethod
    def softmax(scores: Tensor) -> Tensor:
        scores = scores - scores.max(dim=-1, keepdim=True)[0]
        e = torch.exp(scores)
        return e / e.sum(dim=-1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1)
        x = self.embed(x).transpose(1, 2)
        x = x + self.pe[:, : x.size(1)]
        b, n, w = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(b, n, 3, 3, self.d_k).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        attention = self.softmax(q @ k.transpose(-2, -1) / math.sqrt(self.d_k))
        x = x + self.proj((attention @ v).transpose(1, 2).reshape(b, n, w))
        gamma, beta = self.film(mean).unsqueeze(1).chunk(2, dim=-1)
        h = (1 + gamma) * self.norm2(x) + beta
        x = x + self.w2(F.silu(self.w1(h)) * self.w3(h))
        z = torch.sigmoid(self.highway(x))
        x = z * torch.tanh(x) + (1 - z) * x
        return self.head(self.norm3(x).mean(1))


def series(length: int = 40, channels: int = 3, batch: int = 2) -> Tensor:
    """Return sums of sines and noise, each series scaled to zero mean and unit variance."""
    t = torch.linspace(0, 1, length)
    size, frequency, phase = torch.randn(batch, channels, 3, 1), torch.rand(batch, channels, 3, 1), torch.rand(3, 1)
    wave = (size * torch.sin(2 * math.pi * (8 * frequency * t + phase))).sum(2)
    wave = wave + 0.3 * torch.randn(batch, channels, length)
    return (wave - wave.mean(-1, keepdim=True)) / wave.std(-1, keepdim=True)


MODELS: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "InceptionTime": lambda: (InceptionTime(), series(48)),
    "LSTM-FCN": lambda: (RecurrentFCN(nn.LSTM, squeeze=False, shuffle=True), series(40)),
    "MLSTM-FCN": lambda: (RecurrentFCN(nn.LSTM, squeeze=True, shuffle=False), series(40)),
    "GRU-FCN": lambda: (RecurrentFCN(nn.GRU, squeeze=True, shuffle=True), series(40)),
    "ResNetSeries": lambda: (ResNetSeries(), series(40)),
    "ResCNN": lambda: (res_cnn(), series(40, batch=3)),
    "FCN": lambda: (fcn(), series(40, batch=3)),
    "TST": lambda: (TST(), series(32)),
    "PatchTST": lambda: (PatchTST(), series(40)),
    "SeriesTCN": lambda: (TCN(weight_norm), series(40)),
    "SeriesTCN by hooks": lambda: (TCN(old_weight_norm), series(40)),
    "AttentiveGRU": lambda: (AttentiveGRU(), series(30)),
    "OmniScale": lambda: (OmniScale(), series(40)),
    "XceptionTime": lambda: (XceptionTime(), series(40)),
    "MLPMixer": lambda: (MLPMixer(), series(40)),
    "gMLP": lambda: (GatedMLP(), series(24)),
    "HandTransformer": lambda: (HandTransformer(), series(32)),
}

CONSTANTS_LEFT: dict[str, str] = {"PatchTST": "the mean of the series, which the model detaches"}

ANY_LENGTH: dict[str, int] = dict.fromkeys(
    ("InceptionTime", "MLSTM-FCN", "ResNetSeries", "ResCNN", "SeriesTCN", "AttentiveGRU", "OmniScale", "XceptionTime"),
    2,
)

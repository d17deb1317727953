"""Video classifiers as third parties write them: split convolutions, two paths, divided attention, shifted channels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Conv2Plus1D(nn.Sequential):
    """A convolution over space, then one over time, with as many weights as a full one (Tran et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        middle = (inputs * outputs * 27) // (inputs * 9 + 3 * outputs)
        super().__init__(
            nn.Conv3d(inputs, middle, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            nn.Conv3d(middle, outputs, (3, 1, 1), stride=(stride, 1, 1), padding=(1, 0, 0), bias=False),
        )


class R2Plus1D(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, 5, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False), nn.BatchNorm3d(5), nn.ReLU(inplace=True),
            nn.Conv3d(5, 4, (3, 1, 1), padding=(1, 0, 0), bias=False), nn.BatchNorm3d(4), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.layers, inputs = nn.ModuleList(), 4
        for outputs, stride in ((4, 1), (6, 2)):
            block = nn.Module()
            block.conv1 = nn.Sequential(
                Conv2Plus1D(inputs, outputs, stride), nn.BatchNorm3d(outputs), nn.ReLU(inplace=True)
            )
            block.conv2 = nn.Sequential(Conv2Plus1D(outputs, outputs), nn.BatchNorm3d(outputs))
            block.downsample = (
                nn.Sequential(nn.Conv3d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm3d(outputs))
                if stride != 1
                else None
            )
            self.layers.append(block)
            inputs = outputs
        self.relu, self.avgpool, self.fc = nn.ReLU(inplace=True), nn.AdaptiveAvgPool3d((1, 1, 1)), nn.Linear(inputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.layers:
            residual = x if block.downsample is None else block.downsample(x)
            out = block.conv2(block.conv1(x))
            out += residual
            x = self.relu(out)
        return self.fc(self.avgpool(x).flatten(1))


class SqueezeExcitation(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv3d(width, 4, 1), nn.Conv3d(4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean([2, 3, 4], keepdim=True)
        return x * self.fc2(F.relu(self.fc1(pooled))).sigmoid()


class X3D(nn.Module):
    """Channelwise 3-D convolutions in inverted bottlenecks, squeeze and excitation, swish, a head of 1 x 1 x 1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1_s = nn.Conv3d(3, 4, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        self.conv1_t = nn.Conv3d(4, 4, (5, 1, 1), padding=(2, 0, 0), bias=False, groups=4)
        self.bn1 = nn.BatchNorm3d(4, eps=1e-3)
        self.expand, self.bn_a = nn.Conv3d(4, 8, 1, bias=False), nn.BatchNorm3d(8)
        self.depthwise = nn.Conv3d(8, 8, 3, (1, 2, 2), 1, groups=8, bias=False)
        self.bn_b, self.se = nn.BatchNorm3d(8), SqueezeExcitation(8)
        self.project, self.bn_c = nn.Conv3d(8, 4, 1, bias=False), nn.BatchNorm3d(4)
        self.short, self.bn_s = nn.Conv3d(4, 4, 1, (1, 2, 2), bias=False), nn.BatchNorm3d(4)
        self.conv5, self.bn5 = nn.Conv3d(4, 10, 1, bias=False), nn.BatchNorm3d(10)
        self.fc1, self.fc2 = nn.Conv3d(10, 12, 1, bias=False), nn.Linear(12, 3)

    def swish(self, x: Tensor) -> Tensor:
        return x * x.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu_(self.bn1(self.conv1_t(self.conv1_s(x))))
        y = F.relu_(self.bn_a(self.expand(x)))
        y = self.swish(self.se(self.bn_b(self.depthwise(y))))
        x = F.relu(self.bn_c(self.project(y)) + self.bn_s(self.short(x)))
        x = F.relu_(self.bn5(self.conv5(x)))
        x = F.adaptive_avg_pool3d(x, 1)
        x = F.relu_(self.fc1(x))
        x = x.permute((0, 2, 3, 4, 1))
        return self.fc2(x).mean([1, 2, 3])


class SlowFast(nn.Module):
    """A slow path with few frames and a fast one with few channels, joined by a lateral convolution."""

    def __init__(self, alpha: int = 4) -> None:
        super().__init__()
        self.alpha = alpha
        self.slow = nn.ModuleList([nn.Conv3d(3, 6, (1, 5, 5), (1, 2, 2), (0, 2, 2), bias=False)])
        self.fast = nn.ModuleList([nn.Conv3d(3, 2, (5, 5, 5), (1, 2, 2), (2, 2, 2), bias=False)])
        self.slow.append(nn.Conv3d(10, 6, (1, 3, 3), padding=(0, 1, 1)))
        self.fast.append(nn.Conv3d(2, 2, (3, 3, 3), padding=1))
        self.slow_bn = nn.ModuleList([nn.BatchNorm3d(6) for _ in range(2)])
        self.fast_bn = nn.ModuleList([nn.BatchNorm3d(2) for _ in range(2)])
        self.lateral = nn.Conv3d(2, 4, (5, 1, 1), stride=(alpha, 1, 1), padding=(2, 0, 0), bias=False)
        self.lateral_bn = nn.BatchNorm3d(4)
        self.head = nn.Linear(8, 3)

    def pathways(self, frames: Tensor) -> list[Tensor]:
        index = torch.linspace(0, frames.shape[2] - 1, frames.shape[2] // self.alpha).long()
        return [torch.index_select(frames, 2, index.to(frames.device)), frames]

    def forward(self, frames: Tensor) -> Tensor:
        x = self.pathways(frames)
        x[0] = F.relu(self.slow_bn[0](self.slow[0](x[0])), inplace=True)
        x[1] = F.relu(self.fast_bn[0](self.fast[0](x[1])), inplace=True)
        x = [F.max_pool3d(path, (1, 3, 3), (1, 2, 2), (0, 1, 1)) for path in x]
        fuse = F.relu_(self.lateral_bn(self.lateral(x[1])))
        x[0] = torch.cat([x[0], fuse], dim=1)
        x[0] = F.relu(self.slow_bn[1](self.slow[1](x[0])))
        x[1] = F.relu(self.fast_bn[1](self.fast[1](x[1])))
        pooled = [F.avg_pool3d(path, path.shape[2:], stride=1) for path in x]
        joined = torch.cat(pooled, 1).permute((0, 2, 3, 4, 1))
        return self.head(joined).view(joined.shape[0], -1)


class TwoStream(nn.Module):
    """Two inputs, one network for either, called in turn with shared weights in the second half; scores averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.rgb, self.flow = nn.Conv3d(3, 4, 3, padding=1), nn.Conv3d(2, 4, 3, padding=1)
        self.shared, self.norm = nn.Conv3d(4, 6, 3, stride=2), nn.BatchNorm3d(6)
        self.head = nn.Conv3d(6, 3, 1)

    def forward(self, rgb: Tensor, flow: Tensor) -> dict[str, Tensor]:
        scores = []
        for stem, clip in ((self.rgb, rgb), (self.flow, flow)):
            x = F.max_pool3d(F.leaky_relu(stem(clip), 0.1, inplace=True), (1, 2, 2))
            x = self.head(F.relu(self.norm(self.shared(x))))
            scores.append(x.mean(dim=(-3, -2, -1)))
        logits = torch.stack(scores, 0).mean(0)
        return {"rgb": scores[0], "flow": scores[1], "logits": logits}


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        B, N, C = x.shape
        q, k, v = self.qkv(x).reshape(B, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        attention = ((q * self.scale) @ k.transpose(-2, -1)).softmax(dim=-1)
        return self.proj((attention @ v).transpose(1, 2).reshape(B, N, C))


class DividedBlock(nn.Module):
    """Attention over time at each place, then over space in each frame (Bertasius et al. 2021)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.temporal_norm1, self.temporal_attn = nn.LayerNorm(dim), Attention(dim, heads)
        self.temporal_fc = nn.Linear(dim, dim)
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(dim), Attention(dim, heads), nn.LayerNorm(dim)
        self.fc1, self.fc2 = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x: Tensor, T: int) -> Tensor:
        B, N, C = x.shape
        P = (N - 1) // T
        xt = x[:, 1:, :].reshape(B * P, T, C)
        res_temporal = self.temporal_attn(self.temporal_norm1(xt)).reshape(B, P * T, C)
        xt = x[:, 1:, :] + self.temporal_fc(res_temporal)
        init_cls_token = x[:, 0, :].unsqueeze(1)
        cls_token = init_cls_token.repeat(1, T, 1).reshape(B * T, 1, C)
        xs = xt.reshape(B, P, T, C).transpose(1, 2).reshape(B * T, P, C)
        res_spatial = self.attn(self.norm1(torch.cat((cls_token, xs), 1)))
        cls_token = res_spatial[:, 0, :].reshape(B, T, C).mean(1, True)
        res_spatial = res_spatial[:, 1:, :].reshape(B, T, P, C).transpose(1, 2).reshape(B, P * T, C)
        x = torch.cat((init_cls_token, xt), 1) + torch.cat((cls_token, res_spatial), 1)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate="tanh"))


class TimeSformer(nn.Module):
    """Divided attention; positions resized where the clip has another size, blocks under checkpointing."""

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, dim, 4, 4)
        self.cls_token, self.pos_embed = nn.Parameter(torch.zeros(1, 1, dim)), nn.Parameter(torch.zeros(1, 5, dim))
        self.time_pos = nn.Parameter(torch.zeros(1, 2, dim))
        self.blocks = nn.ModuleList([DividedBlock(dim, 2) for _ in range(2)])
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 3)

    def forward(self, x: Tensor) -> Tensor:
        B, _, T, _, _ = x.shape
        x = self.patch(x.permute(0, 2, 1, 3, 4).flatten(0, 1))
        _, C, H, W = x.shape
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(x.size(0), -1, -1), x), dim=1)
        grid = self.pos_embed[0, 1:, :].unsqueeze(0).transpose(1, 2).reshape(1, C, 2, 2)
        grid = F.interpolate(grid, size=(H, W), mode="nearest").flatten(2).transpose(1, 2)
        x = x + torch.cat((self.pos_embed[0, 0].unsqueeze(0).unsqueeze(1), grid), 1)
        cls_tokens = x[:B, 0, :].unsqueeze(1)
        x = x[:, 1:].reshape(B, T, H * W, C).transpose(1, 2).reshape(B * H * W, T, C)
        x = x + F.interpolate(self.time_pos.transpose(1, 2), size=T, mode="nearest").transpose(1, 2)
        x = torch.cat((cls_tokens, x.reshape(B, H * W * T, C)), dim=1)
        for block in self.blocks:
            x = checkpoint(block, x, T, use_reentrant=False)
        return self.head(self.norm(x)[:, 0])


class EncoderBlock(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = nn.MultiheadAttention(dim, 2, dropout=0.1, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class ViViT(nn.Module):
    """Tubelets, an encoder over space and one over time with class tokens of their own (Arnab et al. 2021)."""

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.tubelet = nn.Conv3d(3, dim, (2, 4, 4), (2, 4, 4))
        self.space_token, self.temporal_token = nn.Parameter(torch.zeros(1, 1, dim)), nn.Parameter(torch.zeros(dim))
        self.pos_embedding = nn.Parameter(torch.zeros(1, 3, 10, dim))
        self.space, self.time = EncoderBlock(dim), EncoderBlock(dim)
        self.mlp_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.tubelet(x).permute(0, 2, 3, 4, 1).flatten(2, 3)
        b, t, n, d = x.shape
        x = torch.cat((self.space_token.unsqueeze(0).expand(b, t, 1, d), x), dim=2)
        x += self.pos_embedding[:, :t, : (n + 1)]
        x = self.space(x.reshape(b * t, n + 1, d))
        x = x[:, 0].view(b, t, d)
        x = torch.cat((self.temporal_token.repeat(b, 1, 1), x), dim=1)
        return self.mlp_head(self.time(x).mean(dim=1))


class Unit3D(nn.Module):
    """A 3-D convolution with the padding of TensorFlow, computed from the size of what comes in."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv3d, self.bn = nn.Conv3d(inputs, outputs, kernel, stride, bias=False), nn.BatchNorm3d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        pad = []
        for size in reversed(x.shape[2:]):
            both = max(self.kernel - (self.stride if size % self.stride == 0 else size % self.stride), 0)
            pad += [both // 2, both - both // 2]
        return F.relu(self.bn(self.conv3d(F.pad(x, pad))))


class I3D(nn.Module):
    """Inception modules in three dimensions; the logits are averaged over time (Carreira and Zisserman 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Unit3D(3, 4, 5, 2)
        self.b0, self.b1a, self.b1b = Unit3D(4, 2), Unit3D(4, 3), Unit3D(3, 3, 3)
        self.b2a, self.b2b, self.b3 = Unit3D(4, 2), Unit3D(2, 2, 3), Unit3D(4, 2)
        self.pool = nn.MaxPool3d(3, 1, 1)
        self.dropout, self.logits = nn.Dropout(0.5), nn.Conv3d(9, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool3d(self.stem(x), (1, 3, 3), (1, 2, 2), ceil_mode=True)
        branches = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3(self.pool(x))]
        x = torch.cat(branches, dim=1)
        x = F.avg_pool3d(x, (2, *x.shape[3:]), stride=(1, 1, 1))
        x = self.logits(self.dropout(x))
        return torch.mean(x.squeeze(3).squeeze(3), 2)


class CNNLSTM(nn.Module):
    """One image network for every frame in turn, an LSTM with two layers over the embeddings, its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1, self.conv2 = nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, 2)
        self.fc1, self.bn = nn.Linear(6 * 4, 6), nn.BatchNorm1d(6, momentum=0.01)
        self.LSTM = nn.LSTM(input_size=6, hidden_size=5, num_layers=2, batch_first=True)
        self.fc2, self.fc3 = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x_3d: Tensor) -> Tensor:
        sequence = []
        for t in range(x_3d.size(1)):
            x = F.relu(self.bn1(self.conv1(x_3d[:, t, :, :, :])))
            x = F.relu(self.conv2(F.max_pool2d(x, 2, 1)))
            x = F.relu(self.bn(self.fc1(x.view(x.size(0), -1))))
            sequence.append(x)
        embedded = torch.stack(sequence, dim=0).transpose_(0, 1)
        self.LSTM.flatten_parameters()
        out, (_, _) = self.LSTM(embedded, None)
        x = F.dropout(F.relu(self.fc2(out[:, -1, :])), p=0.3, training=self.training)
        return self.fc3(x)


class TemporalShift(nn.Module):
    """Some channels are moved one frame ahead, some one back, by slices of an empty tensor (Lin et al. 2019)."""

    def __init__(self, net: nn.Module, segments: int, fold: int = 2) -> None:
        super().__init__()
        self.net, self.segments, self.fold = net, segments, fold

    def forward(self, x: Tensor) -> Tensor:
        nt, c, h, w = x.size()
        x, fold = x.view(nt // self.segments, self.segments, c, h, w), self.fold
        out = torch.zeros_like(x)
        out[:, :-1, :fold] = x[:, 1:, :fold]
        out[:, 1:, fold : 2 * fold] = x[:, :-1, fold : 2 * fold]
        out[:, :, 2 * fold :] = x[:, :, 2 * fold :]
        return self.net(out.view(nt, c, h, w))


class TSM(nn.Module):
    def __init__(self, segments: int = 4) -> None:
        super().__init__()
        self.segments = segments
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU(True))
        self.conv1 = TemporalShift(nn.Conv2d(6, 6, 3, padding=1, bias=False), segments)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = TemporalShift(nn.Conv2d(6, 6, 3, padding=1, bias=False), segments)
        self.bn2, self.relu = nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.new_fc = nn.Linear(6, 3)

    def forward(self, video: Tensor) -> Tensor:
        x = self.stem(video.view(-1, 3, *video.size()[-2:]))
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        x = self.relu(out.add_(x))
        x = self.new_fc(x.mean(dim=(2, 3)))
        x = x.view(-1, self.segments, *x.size()[1:])
        return x.mean(dim=1, keepdim=True).squeeze(1)


class ConvLSTM(nn.Module):
    """Cells with peepholes, states from buffers made in the forward pass (Shi et al. 2015)."""

    def __init__(self, hidden: int = 4) -> None:
        super().__init__()
        self.hidden = hidden
        self.conv = nn.Conv2d(3 + hidden, 4 * hidden, 3, padding=1)
        self.Wci, self.Wcf, self.Wco = (nn.Parameter(0.2 * torch.randn(1, hidden, 4, 4)) for _ in range(3))
        self.bn, self.head = nn.BatchNorm3d(hidden), nn.Linear(hidden, 3)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames = x.shape[:2]
        h = torch.zeros(batch, self.hidden, *x.shape[-2:], device=x.device, dtype=x.dtype)
        c = h.clone()
        output = torch.zeros(batch, self.hidden, frames, *x.shape[-2:], device=x.device, dtype=x.dtype)
        for t in range(frames):
            i, f, g, o = torch.chunk(self.conv(torch.cat([x[:, t], h], dim=1)), chunks=4, dim=1)
            i = torch.sigmoid(i + self.Wci * c)
            f = torch.sigmoid(f + self.Wcf * c)
            c = f * c + i * torch.tanh(g)
            h = torch.sigmoid(o + self.Wco * c) * torch.tanh(c)
            output[:, :, t] = h
        x = F.avg_pool3d(self.bn(output), (1, 2, 2))
        return self.head(x[:, :, -1].amax((-2, -1)))


class NonLocal(nn.Module):
    """Every place looks at every other one, embedded Gaussian and dot product in turn (Wang et al. 2018)."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.stem, self.inter = nn.Conv3d(3, channels, 3, (1, 2, 2), 1), channels // 2
        self.g, self.theta, self.phi = (nn.Conv3d(channels, self.inter, 1) for _ in range(3))
        self.W = nn.Sequential(nn.Conv3d(self.inter, channels, 1), nn.BatchNorm3d(channels))
        self.pool, self.head = nn.MaxPool3d((1, 2, 2)), nn.Linear(channels, 3)

    def block(self, x: Tensor, gaussian: bool) -> Tensor:
        batch = x.size(0)
        g = self.pool(self.g(x)).view(batch, self.inter, -1).permute(0, 2, 1)
        theta = self.theta(x).view(batch, self.inter, -1).permute(0, 2, 1)
        f = torch.matmul(theta, self.pool(self.phi(x)).view(batch, self.inter, -1))
        f = F.softmax(f / math.sqrt(self.inter), dim=-1) if gaussian else f / f.size(-1)
        y = torch.matmul(f, g).permute(0, 2, 1).contiguous().view(batch, self.inter, *x.size()[2:])
        return self.W(y) + x

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(self.block(self.block(x, gaussian=True), gaussian=False))
        return self.head(F.adaptive_avg_pool3d(x, (1, 1, 1)).view(x.size(0), -1))


MODELS: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "R2Plus1D": lambda: (R2Plus1D(), torch.randn(2, 3, 4, 10, 10)),
    "X3D": lambda: (X3D(), torch.randn(2, 3, 4, 8, 8)),
    "SlowFast": lambda: (SlowFast(), torch.randn(2, 3, 8, 8, 8)),
    "TwoStream": lambda: (TwoStream(), (torch.randn(2, 3, 4, 8, 8), torch.randn(2, 2, 4, 8, 8))),
    "TimeSformer": lambda: (TimeSformer(), torch.randn(2, 3, 4, 8, 12)),
    "ViViT": lambda: (ViViT(), torch.randn(2, 3, 4, 8, 8)),
    "I3D": lambda: (I3D(), torch.randn(2, 3, 6, 12, 12)),
    "CNNLSTM": lambda: (CNNLSTM(), torch.randn(2, 4, 3, 14, 14)),
    "TSM": lambda: (TSM(), torch.randn(2, 12, 8, 8)),
    "ConvLSTM": lambda: (ConvLSTM(), torch.randn(2, 3, 3, 4, 4)),
    "NonLocal": lambda: (NonLocal(), torch.randn(2, 3, 3, 8, 8)),
}
CONSTANTS_LEFT: dict[str, str] = {}
ANY_LENGTH: dict[str, int] = {}

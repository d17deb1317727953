"""Audio classifiers as third parties write them: front ends inside the model, attention and statistics by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mel_matrix(bins: int, mels: int, rate: float = 1000.0) -> Tensor:
    """Triangles on the mel scale, (bins, mels)."""
    top = 2595 * math.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, mels + 2) / 2595) - 1)
    slopes = edges[None] - torch.linspace(0, rate / 2, bins)[:, None]
    width = edges.diff()
    return torch.minimum(-slopes[:, :-2] / width[:-1], slopes[:, 2:] / width[1:]).clamp(min=0)


class CRNN(nn.Module):
    """Log-mel front end, convolutions, a bidirectional GRU, attention pooling; a dict comes out (sound events)."""

    def __init__(self, n_fft: int = 32, mels: int = 8) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, n_fft // 4
        self.register_buffer("window", torch.hann_window(n_fft))
        self.register_buffer("melW", mel_matrix(n_fft // 2 + 1, mels))
        self.bn0 = nn.BatchNorm2d(mels)
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 6, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(6)
        self.gru = nn.GRU(6 * (mels // 4), 5, num_layers=1, batch_first=True, bidirectional=True)
        self.att, self.cla = nn.Conv1d(10, 3, 1), nn.Conv1d(10, 3, 1)

    def forward(self, wav: Tensor) -> dict[str, Tensor]:
        spec = torch.stft(wav, self.n_fft, self.hop, window=self.window, center=True, return_complex=True)
        power = spec.abs() ** 2
        x = torch.matmul(power.transpose(1, 2), self.melW)
        x = torch.log(x + 1e-2).unsqueeze(1)
        x = self.bn0(x.transpose(1, 3)).transpose(1, 3)
        x = F.max_pool2d(F.relu_(self.bn1(self.conv1(x))), (1, 2))
        x = F.avg_pool2d(F.relu_(self.bn2(self.conv2(x))), (2, 2))
        x = F.dropout(x, p=0.2, training=self.training)
        b, c, t, f = x.size()
        x = x.permute(0, 2, 1, 3).contiguous().view(b, t, c * f)
        self.gru.flatten_parameters()
        x, _ = self.gru(x)
        x = x.transpose(1, 2)
        weight = torch.softmax(torch.clamp(self.att(x), -10, 10), dim=-1)
        cla = torch.sigmoid(self.cla(x))
        return {"clipwise_output": torch.sum(weight * cla, dim=2), "framewise_output": cla.transpose(1, 2)}


class PreNormLayer(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scaling = heads, (dim // heads) ** -0.5
        self.q_proj, self.k_proj, self.v_proj = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)
        self.layer_norm, self.final_layer_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.fc1, self.fc2 = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def _shape(self, x: Tensor, length: int, batch: int) -> Tensor:
        return x.view(batch, length, self.heads, -1).transpose(1, 2).contiguous()

    def forward(self, x: Tensor) -> Tensor:
        batch, length, dim = x.size()
        residual, x = x, self.layer_norm(x)
        shape = (batch * self.heads, -1, dim // self.heads)
        q = self._shape(self.q_proj(x) * self.scaling, length, batch).view(*shape)
        k = self._shape(self.k_proj(x), length, batch).view(*shape)
        v = self._shape(self.v_proj(x), length, batch).view(*shape)
        weights = F.softmax(torch.bmm(q, k.transpose(1, 2)), dim=-1)
        weights = F.dropout(weights, p=0.1, training=self.training)
        x = torch.bmm(weights, v).view(batch, self.heads, length, -1)
        x = self.out_proj(x.transpose(1, 2).reshape(batch, length, dim))
        x = residual + x
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))


class Wav2Vec(nn.Module):
    """Strided convolutions (group norm in the first), weight-normed positions, pre-norm transformer, mean."""

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [nn.Conv1d(1, 6, 10, 5, bias=False), nn.Conv1d(6, 6, 3, 2, bias=False), nn.Conv1d(6, 6, 2, 2, bias=False)]
        )
        self.group_norm = nn.GroupNorm(6, 6)
        self.feature_norm, self.projection = nn.LayerNorm(6), nn.Linear(6, dim)
        conv = nn.Conv1d(dim, dim, 4, padding=2, groups=2)
        self.pos_conv = nn.utils.parametrizations.weight_norm(conv, name="weight", dim=2)
        self.layers = nn.ModuleList([PreNormLayer(dim, 2) for _ in range(2)])
        self.layer_norm = nn.LayerNorm(dim)
        self.layer_weights = nn.Parameter(torch.zeros(3))
        self.projector, self.classifier = nn.Linear(dim, 6), nn.Linear(6, 3)

    def forward(self, input_values: Tensor) -> Tensor:
        x = input_values[:, None]
        x = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + 1e-7)
        for i, conv in enumerate(self.convs):
            x = conv(x)
            if i == 0:
                x = self.group_norm(x)
            x = F.gelu(x)
        x = self.projection(self.feature_norm(x.transpose(1, 2)))
        position = self.pos_conv(x.transpose(1, 2))[:, :, :-1]
        x = x + F.gelu(position).transpose(1, 2)
        states = [x]
        for layer in self.layers:
            x = layer(x)
            states.append(x)
        states[-1] = self.layer_norm(states[-1])
        hidden = torch.stack(states, dim=1)
        weights = F.softmax(self.layer_weights, dim=-1)
        hidden = (hidden * weights.view(-1, 1, 1)).sum(dim=1)
        return self.classifier(self.projector(hidden).mean(dim=1))


class Block(nn.Module):
    """A transformer block in the manner of image models: one projection for query, key and value."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(0.1), nn.Linear(2 * dim, dim))

    def attend(self, x: Tensor) -> Tensor:
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        x = F.scaled_dot_product_attention(q, k, v, dropout_p=0.0, scale=self.scale)
        return self.proj(x.transpose(1, 2).reshape(B, N, C))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class AST(nn.Module):
    """Overlapping patches of a filter bank's output, a class and a distillation token, learnt positions."""

    def __init__(self, dim: int = 8, frames: int = 20, mels: int = 12) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(1, dim, kernel_size=6, stride=4)
        patches = ((mels - 6) // 4 + 1) * ((frames - 6) // 4 + 1)
        self.cls_token, self.dist_token = nn.Parameter(torch.randn(1, 1, dim)), nn.Parameter(torch.randn(1, 1, dim))
        self.pos_embed = nn.Parameter(0.1 * torch.randn(1, patches + 2, dim))
        self.blocks = nn.Sequential(*[Block(dim, 2) for _ in range(2)])
        self.norm = nn.LayerNorm(dim)
        self.mlp_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(1).transpose(2, 3)
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        tokens = [token.expand(x.shape[0], -1, -1) for token in (self.cls_token, self.dist_token)]
        x = torch.cat((*tokens, x), dim=1)
        x = x + self.pos_embed
        x = self.norm(self.blocks(x))
        return self.mlp_head((x[:, 0] + x[:, 1]) / 2)


class RelativeAttention(nn.Module):
    """Attention with relative positions (Dai et al. 2019): content and position scores, the shift by a view."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.h, self.d_k = heads, dim // heads
        self.linear_q, self.linear_k, self.linear_v = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.linear_pos, self.linear_out = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim)
        self.pos_bias_u = nn.Parameter(0.1 * torch.randn(heads, self.d_k))
        self.pos_bias_v = nn.Parameter(0.1 * torch.randn(heads, self.d_k))

    def shift(self, x: Tensor) -> Tensor:
        zero_pad = torch.zeros((*x.size()[:3], 1), device=x.device, dtype=x.dtype)
        padded = torch.cat([zero_pad, x], dim=-1)
        padded = padded.view(*x.size()[:2], x.size(3) + 1, x.size(2))
        return padded[:, :, 1:].view_as(x)[:, :, :, : x.size(-1) // 2 + 1]

    def forward(self, x: Tensor, pos: Tensor, mask: Tensor) -> Tensor:
        n = x.size(0)
        q = self.linear_q(x).view(n, -1, self.h, self.d_k)
        k = self.linear_k(x).view(n, -1, self.h, self.d_k).transpose(1, 2)
        v = self.linear_v(x).view(n, -1, self.h, self.d_k).transpose(1, 2)
        p = self.linear_pos(pos).view(1, -1, self.h, self.d_k).transpose(1, 2)
        content = torch.matmul((q + self.pos_bias_u).transpose(1, 2), k.transpose(-2, -1))
        position = self.shift(torch.matmul((q + self.pos_bias_v).transpose(1, 2), p.transpose(-2, -1)))
        scores = (content + position) / math.sqrt(self.d_k)
        scores = scores.masked_fill(mask, -float("inf"))
        attention = torch.softmax(scores, dim=-1).masked_fill(mask, 0.0)
        out = torch.matmul(attention, v).transpose(1, 2).contiguous().view(n, -1, self.h * self.d_k)
        return self.linear_out(out)


class ConformerBlock(nn.Module):
    def __init__(self, dim: int = 8, heads: int = 2) -> None:
        super().__init__()

        def feed_forward() -> nn.Sequential:
            return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.SiLU(), nn.Linear(2 * dim, dim))

        self.ff1, self.ff2 = feed_forward(), feed_forward()
        self.norm_mha, self.norm_conv, self.norm_final = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mha = RelativeAttention(dim, heads)
        self.pointwise1, self.pointwise2 = nn.Conv1d(dim, 2 * dim, 1), nn.Conv1d(dim, dim, 1)
        self.depthwise = nn.Conv1d(dim, dim, 5, padding=2, groups=dim, bias=False)
        self.bn = nn.BatchNorm1d(dim)

    def convolve(self, x: Tensor) -> Tensor:
        x = F.glu(self.pointwise1(x.transpose(1, 2)), dim=1)
        x = self.bn(self.depthwise(x))
        x = x * torch.sigmoid(x)
        return self.pointwise2(x).transpose(1, 2)

    def forward(self, x: Tensor, pos: Tensor, mask: Tensor) -> Tensor:
        x = x + 0.5 * self.ff1(x)
        x = x + self.mha(self.norm_mha(x), pos, mask)
        x = x + self.convolve(self.norm_conv(x))
        x = x + 0.5 * self.ff2(x)
        return self.norm_final(x)


class Conformer(nn.Module):
    """Subsampling convolutions, macaron blocks with relative positions built in the forward pass, a local mask."""

    def __init__(self, mels: int = 8, dim: int = 8) -> None:
        super().__init__()
        self.subsample = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, (0, 1)), nn.ReLU())
        self.embed = nn.Linear(4 * 2, dim)
        self.dim = dim
        self.blocks = nn.ModuleList([ConformerBlock(dim) for _ in range(2)])
        self.fc = nn.Linear(dim, 3)

    def positions(self, x: Tensor) -> Tensor:
        length = x.size(1)
        offsets = torch.arange(length - 1, -length, -1.0, device=x.device, dtype=x.dtype).unsqueeze(1)
        rate = torch.exp(torch.arange(0, self.dim, 2, device=x.device, dtype=x.dtype) * -(math.log(1e4) / self.dim))
        pe = torch.zeros(2 * length - 1, self.dim, device=x.device, dtype=x.dtype)
        pe[:, 0::2] = torch.sin(offsets * rate)
        pe[:, 1::2] = torch.cos(offsets * rate)
        return pe.unsqueeze(0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.subsample(x.unsqueeze(1))
        b, c, t, f = x.size()
        x = self.embed(x.transpose(1, 2).contiguous().view(b, t, c * f)) * math.sqrt(self.dim)
        steps = torch.arange(t, device=x.device)
        mask = ((steps[:, None] - steps[None]).abs() > 4)[None, None]
        pos = self.positions(x)
        for block in self.blocks:
            x = block(x, pos, mask)
        return self.fc(x.mean(dim=1))


class WaveNet(nn.Module):
    """Gated dilated causal convolutions; skips are added up in place."""

    def __init__(self, channels: int = 6, skip: int = 5) -> None:
        super().__init__()
        self.start = nn.Conv1d(1, channels, 1)
        self.dilations = (1, 2, 4, 8)
        self.filters = nn.ModuleList([nn.Conv1d(channels, 2 * channels, 2, dilation=d) for d in self.dilations])
        self.residuals = nn.ModuleList([nn.Conv1d(channels, channels, 1) for _ in self.dilations])
        self.skips = nn.ModuleList([nn.Conv1d(channels, skip, 1) for _ in self.dilations])
        self.end1, self.end2 = nn.Conv1d(skip, skip, 1), nn.Conv1d(skip, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.start(x.unsqueeze(1))
        total: Any = 0
        for d, filters, residual, skip in zip(self.dilations, self.filters, self.residuals, self.skips, strict=True):
            a, b = torch.chunk(filters(F.pad(x, (d, 0))), 2, dim=1)
            z = torch.tanh(a) * torch.sigmoid(b)
            s = skip(z)
            if torch.is_tensor(total):
                total += s
            else:
                total = s
            x = (residual(z) + x) * math.sqrt(0.5)
        x = self.end2(F.relu(self.end1(F.relu(total))))
        return x.mean(-1)


class Chomp(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, : -self.size].contiguous()


class TCN(nn.Module):
    """Weight norm by hooks (the old style), padding cut off again, residual blocks, the last instant decides."""

    def __init__(self, inputs: int = 2, channels: tuple[int, ...] = (4, 6)) -> None:
        super().__init__()
        self.blocks, self.down = nn.ModuleList(), nn.ModuleList()
        for i, width in enumerate(channels):
            d, layers = 2**i, []
            for c in (inputs, width):
                conv = nn.utils.weight_norm(nn.Conv1d(c, width, 3, padding=2 * d, dilation=d))
                layers += [conv, Chomp(2 * d), nn.ReLU(inplace=True), nn.Dropout(0.2)]
            self.blocks.append(nn.Sequential(*layers))
            self.down.append(nn.Conv1d(inputs, width, 1) if inputs != width else nn.Identity())
            inputs = width
        self.linear = nn.Linear(inputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        for block, down in zip(self.blocks, self.down, strict=True):
            x = F.relu(block(x) + down(x))
        return self.linear(x[:, :, -1])


class SincNet(nn.Module):
    """Band-pass filters from learnt band edges, built in every forward pass (Ravanelli and Bengio 2018)."""

    def __init__(self, filters: int = 6, size: int = 15, rate: float = 1000.0) -> None:
        super().__init__()
        self.rate, self.size, self.filters = rate, size, filters
        self.low_hz_ = nn.Parameter(torch.linspace(10, 300, filters).view(-1, 1))
        self.band_hz_ = nn.Parameter(torch.full((filters, 1), 40.0))
        half = torch.linspace(0, size / 2 - 1, steps=size // 2)
        self.register_buffer("window_", 0.54 - 0.46 * torch.cos(2 * math.pi * half / size))
        self.register_buffer("n_", 2 * math.pi * torch.arange(-(size - 1) / 2.0, 0).view(1, -1) / rate)
        self.ln0, self.ln1 = nn.LayerNorm([64]), nn.LayerNorm([filters, 25])
        self.conv, self.bn = nn.Conv1d(filters, 6, 5), nn.BatchNorm1d(6, momentum=0.05)
        self.fc = nn.Linear(6 * 10, 3)

    def sinc(self, x: Tensor) -> Tensor:
        low = 5.0 + torch.abs(self.low_hz_)
        high = torch.clamp(low + 5.0 + torch.abs(self.band_hz_), 5.0, self.rate / 2)
        band = (high - low)[:, 0]
        low_t, high_t = torch.matmul(low, self.n_), torch.matmul(high, self.n_)
        left = ((torch.sin(high_t) - torch.sin(low_t)) / (self.n_ / 2)) * self.window_
        centre = 2 * band.view(-1, 1)
        band_pass = torch.cat([left, centre, torch.flip(left, dims=[1])], dim=1)
        band_pass = band_pass / (2 * band[:, None])
        kernels = band_pass.view(self.filters, 1, self.size)
        return F.conv1d(x, kernels, stride=1, padding=0, dilation=1, bias=None, groups=1)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        x = self.ln0(x).view(batch, 1, -1)
        x = F.leaky_relu(self.ln1(F.max_pool1d(torch.abs(self.sinc(x)), 2)), 0.2)
        x = F.leaky_relu(self.bn(F.max_pool1d(self.conv(x), 2)), 0.2)
        return F.log_softmax(self.fc(x.view(batch, -1)), dim=1)


class DecibelCNN(nn.Module):
    """Spectrogram in decibels, at most 80 below its maximum, standardised, bottleneck convolutions."""

    def __init__(self, n_fft: int = 32) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hamming_window(n_fft))
        self.conv1, self.bn1 = nn.Conv2d(1, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6)
        self.act = nn.Hardswish(inplace=True)
        self.fc = nn.Linear(12, 3)

    def power_to_db(self, power: Tensor, amin: float = 1e-10, top_db: float = 80.0) -> Tensor:
        log_spec = 10.0 * torch.log10(torch.clamp(power, min=amin))
        log_spec -= 10.0 * math.log10(max(amin, 1.0))
        return torch.max(log_spec, log_spec.amax(dim=(-2, -1), keepdim=True) - top_db)

    def forward(self, wav: Tensor) -> Tensor:
        padded = F.pad(wav.unsqueeze(1), (self.n_fft // 2, self.n_fft // 2), mode="reflect").squeeze(1)
        frames = padded.unfold(-1, self.n_fft, 8) * self.window
        power = torch.view_as_real(torch.fft.rfft(frames, dim=-1)).pow(2).sum(-1).mT
        x = self.power_to_db(power).unsqueeze(1)
        x = (x - x.mean(dim=(2, 3), keepdim=True)) / (x.std(dim=(2, 3), keepdim=True) + 1e-5)
        x = self.act(self.bn1(self.conv1(x)))
        x = self.act(self.bn2(self.conv2(x)))
        x = torch.mean(x, dim=2)
        (highest, _), average = torch.max(x, dim=2), torch.mean(x, dim=2)
        return self.fc(torch.cat((highest, average), dim=1))


class Leaf(nn.Module):
    """Gabor filters, squared modulus, Gaussian low-pass, compression by learnt energy (Zeghidour et al. 2021)."""

    def __init__(self, filters: int = 4, size: int = 17) -> None:
        super().__init__()
        self.filters, self.size = filters, size
        self.centre = nn.Parameter(torch.linspace(0.3, 2.5, filters))
        self.width = nn.Parameter(torch.full((filters,), 3.0))
        self.pool_width = nn.Parameter(torch.full((1, 1, filters, 1), 0.4))
        self.alpha = nn.Parameter(torch.full((filters,), 0.96))
        self.delta, self.root = nn.Parameter(torch.full((filters,), 2.0)), nn.Parameter(torch.full((filters,), 2.0))
        self.smooth = nn.Parameter(torch.full((filters,), 0.2))
        self.conv, self.fc = nn.Conv1d(filters, 6, 3), nn.Linear(6, 3)

    def gabor(self, t: Tensor) -> Tensor:
        centre = self.centre.clamp(0.0, math.pi).unsqueeze(1)
        width = self.width.clamp(1.0, 10.0).unsqueeze(1)
        envelope = torch.exp(-(t**2) / (2 * width**2)) / (math.sqrt(2 * math.pi) * width)
        waves = torch.exp(1j * centre * t) * envelope
        return torch.stack([waves.real, waves.imag], dim=1).reshape(2 * self.filters, 1, self.size)

    def low_pass(self, x: Tensor, stride: int = 4) -> Tensor:
        t = torch.arange(0, self.size, dtype=x.dtype, device=x.device).view(1, 1, 1, -1)
        sigma = torch.clamp(self.pool_width, 2.0 / self.size, 0.5)
        middle = 0.5 * (self.size - 1)
        kernel = torch.exp(-0.5 * ((t - middle) / (sigma * middle)) ** 2).view(-1, 1, self.size)
        return F.conv1d(x, kernel, stride=stride, padding=self.size // 2, groups=self.filters)

    def pcen(self, x: Tensor) -> Tensor:
        alpha = torch.min(self.alpha, torch.tensor(1.0, dtype=x.dtype, device=x.device)).view(1, -1, 1)
        root = 1.0 / torch.max(self.root, torch.tensor(1.0, dtype=x.dtype, device=x.device)).view(1, -1, 1)
        rate, delta = self.smooth.clamp(0.0, 1.0), self.delta.view(1, -1, 1)
        state = x[:, :, 0]
        states = [state]
        for t in range(1, x.shape[-1]):
            state = rate * x[:, :, t] + (1.0 - rate) * state
            states.append(state)
        smoothed = torch.stack(states, -1)
        return (x / (1e-6 + smoothed) ** alpha + delta) ** root - delta**root

    def forward(self, wav: Tensor) -> Tensor:
        half = self.size // 2
        t = torch.arange(-half, half + 1, dtype=wav.dtype, device=wav.device)
        x = F.conv1d(wav[:, None], self.gabor(t), padding="same")
        x = F.avg_pool1d(x.transpose(1, 2).square(), 2, 2).transpose(1, 2) * 2.0
        x = self.pcen(torch.maximum(self.low_pass(x), torch.tensor(1e-5, dtype=x.dtype)))
        return self.fc(F.relu(self.conv(x)).amax(-1))


class Res2Block(nn.Module):
    def __init__(self, channels: int, scale: int, dilation: int) -> None:
        super().__init__()
        self.width, self.nums = channels // scale, scale - 1
        self.conv1, self.bn1 = nn.Conv1d(channels, channels, 1), nn.BatchNorm1d(channels)
        pad = dilation
        self.convs = nn.ModuleList(
            [nn.Conv1d(self.width, self.width, 3, dilation=dilation, padding=pad) for _ in range(self.nums)]
        )
        self.bns = nn.ModuleList([nn.BatchNorm1d(self.width) for _ in range(self.nums)])
        self.conv3, self.bn3 = nn.Conv1d(channels, channels, 1), nn.BatchNorm1d(channels)
        self.relu = nn.ReLU()
        self.se = nn.Sequential(
            nn.AdaptiveAvgPool1d(1), nn.Conv1d(channels, 4, 1), nn.ReLU(), nn.Conv1d(4, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        residual = x
        spx = torch.split(self.bn1(self.relu(self.conv1(x))), self.width, 1)
        sp = out = self.bns[0](self.relu(self.convs[0](spx[0])))
        for i in range(1, self.nums):
            sp = sp + spx[i]
            sp = self.bns[i](self.relu(self.convs[i](sp)))
            out = torch.cat((out, sp), 1)
        out = torch.cat((out, spx[self.nums]), 1)
        out = self.bn3(self.relu(self.conv3(out)))
        out = out * self.se(out)
        out += residual
        return out


class ECAPA(nn.Module):
    """Res2 blocks, squeeze and excitation, attentive statistics with a weighted standard deviation."""

    def __init__(self, bins: int = 6, channels: int = 8) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(bins, channels, 5, padding=2), nn.BatchNorm1d(channels)
        self.layers = nn.ModuleList([Res2Block(channels, 4, d) for d in (2, 3)])
        self.layer4 = nn.Conv1d(2 * channels, 10, 1)
        self.attention = nn.Sequential(
            nn.Conv1d(30, 4, 1), nn.ReLU(), nn.BatchNorm1d(4), nn.Tanh(), nn.Conv1d(4, 10, 1), nn.Softmax(dim=2)
        )
        self.bn5, self.fc6, self.head = nn.BatchNorm1d(20), nn.Linear(20, 6), nn.Parameter(torch.randn(3, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = x - torch.mean(x, dim=-1, keepdim=True)
        x = self.bn1(F.relu(self.conv1(x)))
        x1 = self.layers[0](x)
        x2 = self.layers[1](x + x1)
        x = F.relu(self.layer4(torch.cat((x1, x2), dim=1)))
        t = x.size()[-1]
        mean = torch.mean(x, dim=2, keepdim=True).repeat(1, 1, t)
        std = torch.sqrt(torch.var(x, dim=2, keepdim=True).clamp(min=1e-4)).repeat(1, 1, t)
        w = self.attention(torch.cat((x, mean, std), dim=1))
        mu = torch.sum(x * w, dim=2)
        sg = torch.sqrt((torch.sum((x**2) * w, dim=2) - mu**2).clamp(min=1e-4))
        x = self.fc6(self.bn5(torch.cat((mu, sg), 1)))
        return 10.0 * F.linear(F.normalize(x), F.normalize(self.head))


class PhaseNet(nn.Module):
    """Magnitude and phase of a short-time Fourier transform as channels; the tuple's first item decides."""

    def __init__(self, n_fft: int = 16) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm, self.head = nn.InstanceNorm2d(6, affine=True), nn.Linear(6 * (n_fft // 2 + 1), 3)

    def forward(self, wav: Tensor) -> tuple[Tensor, list[Tensor]]:
        window = torch.hann_window(self.n_fft, dtype=wav.dtype, device=wav.device)
        spec = torch.stft(wav, self.n_fft, self.n_fft // 2, window=window, onesided=True, return_complex=True)
        magnitude, phase = torch.abs(spec), torch.angle(spec)
        x = torch.stack([torch.log1p(magnitude), torch.cos(phase), torch.sin(phase)], dim=1)
        x = F.elu(self.norm(self.conv(x)))
        frames = x.flatten(1, 2).transpose(1, 2)
        return self.head(frames.median(dim=1).values), [magnitude, phase]


class EnvelopeNet(nn.Module):
    """Analytic amplitude by Fourier transform: double the positive frequencies, drop the negative ones."""

    def __init__(self, bands: int = 5) -> None:
        super().__init__()
        self.bank = nn.Conv1d(1, bands, 9, padding=4, bias=False)
        self.conv, self.norm = nn.Conv1d(bands, 6, 5, stride=3), nn.BatchNorm1d(6)
        self.fc = nn.Linear(6, 3)

    def hilbert(self, x: Tensor) -> Tensor:
        n = x.shape[-1]
        h = torch.zeros(n, dtype=x.dtype, device=x.device)
        h[0] = h[n // 2] = 1
        h[1 : n // 2] = 2
        return torch.fft.ifft(torch.fft.fft(x, dim=-1) * h, dim=-1)

    def forward(self, wav: Tensor) -> Tensor:
        analytic = self.hilbert(self.bank(wav.unsqueeze(1)))
        envelope = torch.sqrt(analytic.real**2 + analytic.imag**2 + 1e-8)
        x = torch.log1p(envelope)
        x = torch.relu(self.norm(self.conv(x)))
        return self.fc(x.mean(-1))


MODELS: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "CRNN": lambda: (CRNN(), torch.randn(2, 128)),
    "Wav2Vec": lambda: (Wav2Vec(), torch.randn(2, 160)),
    "AST": lambda: (AST(), torch.randn(2, 20, 12)),
    "Conformer": lambda: (Conformer(), torch.randn(2, 35, 8)),
    "WaveNet": lambda: (WaveNet(), torch.randn(3, 40)),
    "TCN": lambda: (TCN(), torch.randn(3, 2, 24)),
    "SincNet": lambda: (SincNet(), torch.randn(3, 64)),
    "DecibelCNN": lambda: (DecibelCNN(), torch.randn(2, 96)),
    "Leaf": lambda: (Leaf(), torch.randn(2, 80)),
    "ECAPA": lambda: (ECAPA(), torch.randn(2, 6, 20)),
    "PhaseNet": lambda: (PhaseNet(), torch.randn(2, 64)),
    "EnvelopeNet": lambda: (EnvelopeNet(), torch.randn(2, 64)),
}
CONSTANTS_LEFT: dict[str, str] = {
    "CRNN": "class probabilities: the sigmoid of 0 is 1/2",
    "SincNet": "the normaliser of the log-softmax",
    "Leaf": "the offset within the root is taken off again behind it",
    "ECAPA": "the least variance",
    "PhaseNet": "a phase is of degree 0: cut",
    "EnvelopeNet": "what is added within the root",
}
ANY_LENGTH: dict[str, int] = {}

"""Sequence classifiers as third parties write them: state spaces, gated loops, graphs, experts, conditioned weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class MambaBlock(nn.Module):
    """Selective scan in a loop, a causal channelwise convolution before it, a gate behind (Gu and Dao 2023)."""

    def __init__(self, dim: int = 6, state: int = 3, rank: int = 2) -> None:
        super().__init__()
        self.inner, self.state, self.rank = 2 * dim, state, rank
        self.norm_weight = nn.Parameter(torch.ones(dim))
        self.in_proj = nn.Linear(dim, 2 * self.inner, bias=False)
        self.conv1d = nn.Conv1d(self.inner, self.inner, 4, groups=self.inner, padding=3)
        self.x_proj = nn.Linear(self.inner, rank + 2 * state, bias=False)
        self.dt_proj = nn.Linear(rank, self.inner)
        self.A_log = nn.Parameter(torch.log(torch.arange(1.0, state + 1).repeat(self.inner, 1)))
        self.D = nn.Parameter(torch.ones(self.inner))
        self.out_proj = nn.Linear(self.inner, dim, bias=False)

    def scan(self, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        b, length, d = u.shape
        deltaA = torch.exp(torch.einsum("b l d, d n -> b l d n", delta, A))
        deltaB_u = torch.einsum("b l d, b l n, b l d -> b l d n", delta, B, u)
        x = torch.zeros((b, d, self.state), device=u.device, dtype=u.dtype)
        ys = []
        for i in range(length):
            x = deltaA[:, i] * x + deltaB_u[:, i]
            ys.append(torch.einsum("b d n, b n -> b d", x, C[:, i, :]))
        return torch.stack(ys, dim=1) + u * self.D

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        normed = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.norm_weight
        u, res = self.in_proj(normed).split(split_size=[self.inner, self.inner], dim=-1)
        u = F.silu(self.conv1d(u.transpose(1, 2))[..., :length].transpose(1, 2))
        A = -torch.exp(self.A_log)
        delta, B, C = self.x_proj(u).split(split_size=[self.rank, self.state, self.state], dim=-1)
        y = self.scan(u, F.softplus(self.dt_proj(delta)), A, B, C)
        return x + self.out_proj(y * F.silu(res))


class Mamba(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.blocks = nn.Linear(2, 6), nn.ModuleList([MambaBlock() for _ in range(2)])
        self.norm, self.head = nn.RMSNorm(6, eps=1e-5), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, -1])


class S4D(nn.Module):
    """A diagonal state space as one long convolution by Fourier transform (Gu et al. 2022)."""

    def __init__(self, h: int = 5, n: int = 4) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(2, h), nn.Linear(h, 3)
        self.C = nn.Parameter(torch.randn(h, n, 2) / n)
        self.log_dt = nn.Parameter(torch.rand(h) * (math.log(0.1) - math.log(0.01)) + math.log(0.01))
        self.log_A_real = nn.Parameter(torch.log(0.5 * torch.ones(h, n)))
        self.A_imag = nn.Parameter(math.pi * torch.arange(n).repeat(h, 1).float())
        self.D = nn.Parameter(torch.randn(h))
        self.output = nn.Sequential(nn.Conv1d(h, 2 * h, 1), nn.GLU(dim=-2))
        self.norm = nn.LayerNorm(h)

    def kernel(self, length: int) -> Tensor:
        dt, C = torch.exp(self.log_dt), torch.view_as_complex(self.C)
        A = -torch.exp(self.log_A_real) + 1j * self.A_imag
        dtA = A * dt.unsqueeze(-1)
        K = dtA.unsqueeze(-1) * torch.arange(length, device=A.device)
        C = C * (torch.exp(dtA) - 1.0) / A
        return 2 * torch.einsum("hn, hnl -> hl", C, torch.exp(K)).real

    def forward(self, x: Tensor) -> Tensor:
        u = self.encoder(x).transpose(-1, -2)
        length = u.size(-1)
        k_f = torch.fft.rfft(self.kernel(length), n=2 * length)
        u_f = torch.fft.rfft(u, n=2 * length)
        y = torch.fft.irfft(u_f * k_f, n=2 * length)[..., :length]
        y = y + u * self.D.unsqueeze(-1)
        z = self.output(F.gelu(y))
        return self.decoder(self.norm((z + u).transpose(-1, -2)).mean(dim=1))


class LinearAttention(nn.Module):
    """Kernel features elu + 1, causal by a cumulative sum, and without order (Katharopoulos et al. 2020)."""

    def __init__(self, dim: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.embed, self.to_qkv, self.out = nn.Linear(2, dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 3)

    def attend(self, x: Tensor, causal: bool) -> Tensor:
        q, k, v = (t.unflatten(-1, (self.heads, -1)) for t in self.to_qkv(x).chunk(3, dim=-1))
        q, k = F.elu(q) + 1, F.elu(k) + 1
        if causal:
            kv = torch.einsum("nlhd,nlhm->nlhdm", k, v).cumsum(dim=1)
            z = 1 / (torch.einsum("nlhd,nlhd->nlh", q, k.cumsum(1)) + 1e-6)
            y = torch.einsum("nlhd,nlhdm->nlhm", q, kv) * z[..., None]
        else:
            kv = torch.einsum("nshd,nshm->nhmd", k, v)
            z = 1 / (torch.einsum("nlhd,nhd->nlh", q, k.sum(dim=1)) + 1e-6)
            y = torch.einsum("nlhd,nhmd,nlh->nlhm", q, kv, z)
        return self.out(y.contiguous().flatten(-2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        x = x + self.attend(x, causal=True)
        x = x + self.attend(self.norm(x), causal=False)
        return self.head(x.mean(1))


class DeltaNet(nn.Module):
    """A matrix of memory that decays by a gate and is corrected by the error of what it recalls (Yang et al. 2024)."""

    def __init__(self, dim: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads, self.d = heads, dim // heads
        self.embed, self.qkv = nn.Linear(2, dim), nn.Linear(dim, 3 * dim, bias=False)
        self.b_proj, self.a_proj = nn.Linear(dim, heads), nn.Linear(dim, heads)
        self.A_log, self.dt_bias = nn.Parameter(torch.zeros(heads)), nn.Parameter(torch.zeros(heads))
        self.g_proj, self.o_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.o_norm = nn.RMSNorm(dim // heads, eps=1e-5)
        self.head = nn.Linear(dim, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.embed(x))
        b, t, _ = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, self.d).permute(2, 0, 3, 1, 4)
        q, k = F.normalize(q, p=2, dim=-1) * self.d**-0.5, F.normalize(k, p=2, dim=-1)
        beta = self.b_proj(x).sigmoid().transpose(1, 2)
        decay = (-self.A_log.exp() * F.softplus(self.a_proj(x) + self.dt_bias)).transpose(1, 2).exp()
        S = x.new_zeros(b, self.heads, self.d, self.d)
        out = x.new_empty(b, self.heads, t, self.d)
        for i in range(t):
            S = S * decay[:, :, i, None, None]
            recalled = (S * k[:, :, i, :, None]).sum(-2)
            update = (v[:, :, i] - recalled) * beta[:, :, i, None]
            S = S + k[:, :, i].unsqueeze(-1) * update.unsqueeze(-2)
            out[:, :, i] = torch.einsum("bhk,bhkv->bhv", q[:, :, i], S)
        gate = self.g_proj(x).view(b, t, self.heads, self.d)
        y = self.o_norm(out.transpose(1, 2)) * F.silu(gate)
        return self.head(self.o_proj(y.reshape(b, t, -1)).mean(1))


class GatedRetention(nn.Module):
    """Attention without softmax whose weights decay by cumulative products and sums of gates, in one batch."""

    def __init__(self, dim: int = 6) -> None:
        super().__init__()
        self.embed, self.q, self.k, self.v = nn.Linear(2, dim), *(nn.Linear(dim, dim) for _ in range(3))
        self.gate, self.scalar = nn.Linear(dim, dim), nn.Linear(dim, 1)
        self.group_norm, self.head = nn.GroupNorm(2, dim), nn.Linear(dim, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        t = x.shape[1]
        logs = F.logsigmoid(self.scalar(x)).squeeze(-1).cumsum(-1)
        mask = torch.ones(t, t, dtype=torch.bool, device=x.device).tril()
        decay = (logs[:, :, None] - logs[:, None, :]).masked_fill(~mask, float("-inf")).exp()
        scores = self.q(x) @ self.k(x).transpose(-1, -2) / t
        y = (scores * decay) @ self.v(x)
        forget = torch.cumprod(torch.sigmoid(self.gate(x)) * 0.5 + 0.5, dim=1)
        y = y + x * forget
        return self.head(self.group_norm(y.transpose(1, 2)).mean(-1))


class MinGRU(nn.Module):
    """A GRU whose gates do not see the state, as one scan in log space (Feng et al. 2024), and as products."""

    def __init__(self, dim: int = 5) -> None:
        super().__init__()
        self.embed, self.hidden_and_gate = nn.Linear(2, dim), nn.Linear(dim, 2 * dim)
        self.second, self.head = nn.Linear(dim, 2 * dim), nn.Linear(dim, 3)

    def log_g(self, x: Tensor) -> Tensor:
        return torch.where(x >= 0, (F.relu(x) + 0.5).log(), -F.softplus(-x))

    def forward(self, x: Tensor) -> Tensor:
        hidden, gate = self.hidden_and_gate(self.embed(x)).chunk(2, dim=-1)
        log_coeffs = -F.softplus(gate)
        log_values = -F.softplus(-gate) + self.log_g(hidden)
        a_star = log_coeffs.cumsum(dim=1)
        h = (a_star + (log_values - a_star).logcumsumexp(dim=1)).exp()
        hidden, gate = self.second(h).chunk(2, dim=-1)
        z = torch.sigmoid(gate)
        a = torch.cumprod(1 - z, dim=1)
        h = a * torch.cumsum(z * torch.tanh(hidden) / a, dim=1)
        return self.head(h[:, -1])


class Cells(nn.Module):
    """LSTMCell, GRUCell and RNNCell in loops over time; states in lists, one cell backwards."""

    def __init__(self, hidden: int = 4) -> None:
        super().__init__()
        self.hidden = hidden
        self.lstm, self.gru, self.rnn = nn.LSTMCell(2, hidden), nn.GRUCell(2, hidden), nn.RNNCell(hidden, hidden)
        self.head = nn.Linear(2 * hidden, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.size(0), self.hidden, dtype=x.dtype, device=x.device)
        c, back = torch.zeros_like(h), h.clone()
        forwards: list[Tensor] = []
        for x_t in x.split(1, dim=1):
            h, c = self.lstm(x_t.squeeze(1), (h, c))
            forwards += [h]
        for t in reversed(range(x.shape[1])):
            back = self.gru(x[:, t], back)
        state: Tensor | None = None
        for h in forwards:
            state = self.rnn(h, state)
        return self.head(torch.cat([state, back], dim=-1))


class OwnLSTM(nn.Module):
    """An LSTM written by hand: one product for all gates, learnt initial states, layer norm on the cell."""

    def __init__(self, hidden: int = 4) -> None:
        super().__init__()
        self.hidden = hidden
        self.W = nn.Parameter(0.4 * torch.randn(2, 4 * hidden))
        self.U = nn.Parameter(0.4 * torch.randn(hidden, 4 * hidden))
        self.bias = nn.Parameter(torch.zeros(4 * hidden))
        self.h0_bias, self.c0_bias = nn.Parameter(torch.zeros(1, hidden)), nn.Parameter(torch.zeros(1, hidden))
        self.norm, self.head = nn.LayerNorm(hidden), nn.Linear(hidden, 3)

    def forward(self, x: Tensor) -> Tensor:
        bs, length, _ = x.size()
        h, c = self.h0_bias.expand(bs, -1), self.c0_bias.repeat(bs, 1)
        outputs = []
        for t in range(length):
            gates = x[:, t, :] @ self.W + h @ self.U + self.bias
            i, f = torch.sigmoid(gates[:, : self.hidden]), torch.sigmoid(gates[:, self.hidden : 2 * self.hidden])
            g, o = gates[:, 2 * self.hidden :].chunk(2, 1)
            c = f * c + i * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(self.norm(c))
            outputs.append(h.unsqueeze(0))
        outputs = torch.cat(outputs, dim=0).transpose(0, 1).contiguous()
        return self.head(outputs.max(dim=1)[0])


class Packed(nn.Module):
    """Sequences of unlike lengths, packed for a bidirectional LSTM, unpacked, attention over what is not padding."""

    def __init__(self, hidden: int = 4) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, hidden, batch_first=True, bidirectional=True)
        self.W1, self.W2 = nn.Linear(2 * hidden, 4), nn.Linear(4, 1, bias=False)
        self.fc = nn.Linear(4 * hidden, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        out, (h_n, _) = self.lstm(packed)
        out, _ = pad_packed_sequence(out, batch_first=True, total_length=x.size(1))
        mask = torch.arange(x.size(1), device=x.device)[None, :] < lengths[:, None]
        scores = self.W2(torch.tanh(self.W1(out))).squeeze(-1)
        scores[~mask] = float("-inf")
        pooled = torch.bmm(F.softmax(scores, 1).unsqueeze(1), out).squeeze(1)
        return self.fc(torch.cat((pooled, h_n[-2], h_n[-1]), 1))


class FiLM(nn.Module):
    """A convolutional net whose channels are scaled and shifted as a second input says; adaptive instance norm."""

    def __init__(self, channels: int = 5) -> None:
        super().__init__()
        self.embed, self.film = nn.Linear(3, 6), nn.Linear(6, 2 * channels)
        self.conv1, self.conv2 = nn.Conv1d(2, channels, 3), nn.Conv1d(channels, channels, 3)
        self.bn, self.head = nn.BatchNorm1d(channels, affine=False), nn.Linear(channels, 3)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gamma, beta = self.film(F.relu(self.embed(condition))).unsqueeze(2).chunk(2, 1)
        x = F.relu((1 + gamma) * self.bn(self.conv1(x)) + beta)
        x = self.conv2(x)
        mean, std = x.mean(2, keepdim=True), x.std(2, keepdim=True)
        x = std.new_tensor(2.0) * (x - mean) / (std + 1e-5) * torch.sigmoid(gamma) + mean
        return self.head(F.adaptive_max_pool1d(x, 1).squeeze(-1))


class Experts(nn.Module):
    """Soft and sparse mixtures of experts: a softmax over all, the best two scattered into zeros, index_add."""

    def __init__(self, dim: int = 6, experts: int = 4, top_k: int = 2) -> None:
        super().__init__()
        self.top_k, self.count = top_k, experts
        self.embed, self.gate, self.router = nn.Linear(10, dim), nn.Linear(dim, experts), nn.Linear(dim, experts)
        self.soft = nn.ModuleList([nn.Linear(dim, dim) for _ in range(experts)])
        self.sparse = nn.ModuleList([nn.Sequential(nn.Linear(dim, dim), nn.GELU()) for _ in range(experts)])
        self.third, self.head = nn.Linear(dim, experts), nn.Linear(dim, 3)
        self.w = nn.Parameter(0.4 * torch.randn(experts, dim, dim))

    def routed(self, x: Tensor) -> Tensor:
        weights, selected = torch.topk(self.router(x), self.top_k)
        weights = F.softmax(weights, dim=1)
        results = torch.zeros_like(x)
        for i, expert in enumerate(self.sparse):
            rows, nth = torch.where(selected == i)
            if rows.numel() > 0:
                results.index_add_(0, rows, weights[rows, nth, None] * expert(x[rows]))
        return results

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = torch.tanh(self.embed(x.flatten(1)))
        mixture = torch.stack([expert(x) for expert in self.soft], dim=1)
        x = x + torch.einsum("be,bed->bd", F.softmax(self.gate(x), dim=-1), mixture)
        x = x + self.routed(x)
        logits = self.third(x)
        top, indices = logits.topk(self.top_k, dim=-1)
        gates = torch.zeros_like(logits).scatter(-1, indices, F.softmax(top, dim=-1))
        x = torch.einsum("be,bd,edf->bf", gates, x, self.w)
        return {"aux_loss": gates.detach().mean(0).var(), "logits": self.head(x)}


class HyperNet(nn.Module):
    """Weights made from the signal: a linear map from a net, a convolution by attention over kernels."""

    def __init__(self, kernels: int = 3, channels: int = 4) -> None:
        super().__init__()
        self.stem, self.channels = nn.Conv1d(2, channels, 3, padding=1), channels
        self.attention = nn.Sequential(nn.Linear(channels, 4), nn.ReLU(), nn.Linear(4, kernels))
        self.kernels = nn.Parameter(0.4 * torch.randn(kernels, channels, channels, 3))
        self.kernel_bias = nn.Parameter(torch.zeros(kernels, channels))
        self.hyper = nn.Linear(2, channels * 3)

    def forward(self, x: Tensor) -> Tensor:
        summary = x.std(-1)
        x = F.relu(self.stem(x))
        b, c, length = x.shape
        weights = F.softmax(self.attention(x.mean(-1)) / 4.0, dim=-1)
        kernel = torch.mm(weights, self.kernels.view(weights.shape[1], -1)).view(-1, c, 3)
        bias = torch.mm(weights, self.kernel_bias).view(-1)
        x = F.conv1d(x.reshape(1, -1, length), kernel, bias, padding=1, groups=b).view(b, -1, length)
        w = self.hyper(summary).view(b, 3, self.channels)
        return torch.bmm(w, F.gelu(x).mean(-1, keepdim=True)).squeeze(-1)


class Highway(nn.Module):
    """Layers that carry or transform, by a gate and what it leaves (Srivastava et al. 2015)."""

    def __init__(self, dim: int = 8, layers: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(20, dim)
        self.nonlinear = nn.ModuleList([nn.Linear(dim, dim) for _ in range(layers)])
        self.gate = nn.ModuleList([nn.Linear(dim, dim) for _ in range(layers)])
        self.last = nn.Linear(dim, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.view(x.size(0), -1))
        for nonlinear, gate in zip(self.nonlinear, self.gate, strict=True):
            t = torch.sigmoid(gate(x))
            x = F.relu(nonlinear(x)) * t + x * (1 - t)
        return self.last(x)


class Spectral(nn.Module):
    """Spectral norm in the old and the new style, and weights renormed to a maximum in the forward pass."""

    def __init__(self, channels: int = 5, limit: float = 0.5) -> None:
        super().__init__()
        self.limit = limit
        self.conv1 = nn.utils.spectral_norm(nn.Conv1d(2, channels, 5))
        self.conv2 = nn.utils.parametrizations.spectral_norm(nn.Conv1d(channels, channels, 3, bias=False))
        self.norm, self.head = nn.BatchNorm1d(channels), nn.Linear(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.norm(self.conv2(F.leaky_relu(self.conv1(x), 0.2))), 0.2, inplace=True)
        weight = torch.renorm(self.head.weight, p=2, dim=0, maxnorm=self.limit)
        return F.linear(x.mean(-1), weight, self.head.bias)


class Pyramid(nn.Module):
    """Scales from strided convolutions, joined from the top down by interpolation of every kind."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv1d(2 if i == 0 else width, width, 3, 2, 1) for i in range(3)])
        self.lateral = nn.ModuleList([nn.Conv1d(width, width, 1) for _ in range(3)])
        self.up, self.head = nn.ConvTranspose1d(width, width, 4, 2, 1), nn.Linear(4 * width, 3)

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for down in self.down:
            x = F.silu(down(x), inplace=True)
            maps.append(x)
        p3 = self.lateral[2](maps[2])
        p2 = self.lateral[1](maps[1]) + F.interpolate(p3, scale_factor=2, mode="nearest")
        p1 = self.lateral[0](maps[0]) + F.interpolate(p2, size=maps[0].shape[-1], mode="linear", align_corners=False)
        image = F.interpolate(p1.unsqueeze(1), size=(4, 10), mode="bicubic", align_corners=True).squeeze(1)
        pooled = [F.adaptive_avg_pool1d(p, 1).flatten(1) for p in (p3, p2, image)]
        return self.head(torch.cat([*pooled, F.lp_pool1d(self.up(p1), 2, 4).mean(-1)], dim=1))


class NeuralODE(nn.Module):
    """Euler and Runge-Kutta steps with one field, called again and again, time as a channel of its own."""

    def __init__(self, dim: int = 5) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(20, dim), nn.Linear(dim, 3)
        self.f1, self.f2 = nn.Linear(dim + 1, 8), nn.Linear(8, dim)

    def field(self, t: float, x: Tensor) -> Tensor:
        tt = torch.ones_like(x[:, :1]) * t
        return self.f2(torch.tanh(self.f1(torch.cat([tt, x], 1))))

    def forward(self, x: Tensor) -> Tensor:
        x = self.encode(x.reshape(len(x), -1))
        dt = 0.25
        for i in range(4):
            x = x + dt * self.field(i * dt, x)
        k1 = self.field(1.0, x)
        k2 = self.field(1.0 + dt / 2, x + dt / 2 * k1)
        x = torch.add(x, k2, alpha=dt)
        return self.decode(x)


class Perceiver(nn.Module):
    """Learnt queries read the sequence (Jaegle et al. 2021), stored patterns are recalled (Ramsauer et al. 2021)."""

    def __init__(self, dim: int = 6, latents: int = 3) -> None:
        super().__init__()
        self.embed, self.scale = nn.Linear(2, dim), dim**-0.5
        self.latents = nn.Parameter(0.5 * torch.randn(latents, dim))
        self.to_q, self.to_kv = nn.Linear(dim, dim, bias=False), nn.Linear(dim, 2 * dim, bias=False)
        self.norm, self.patterns = nn.LayerNorm(dim), nn.Parameter(torch.randn(5, dim))
        self.to_out, self.head = nn.Linear(dim, dim), nn.Linear(dim, 3)
        self.register_buffer("frequencies", 2.0 ** torch.arange(dim // 2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        b, n, _ = x.shape
        angles = torch.linspace(-1, 1, n, dtype=x.dtype, device=x.device)[:, None] * self.frequencies.to(x)
        x = x + torch.cat((angles.sin(), angles.cos()), dim=-1)
        latents = self.latents.unsqueeze(0).repeat(b, 1, 1)
        q, (k, v) = self.to_q(latents), self.to_kv(self.norm(x)).chunk(2, dim=-1)
        sim = torch.einsum("b i d, b j d -> b i j", q, k) * self.scale
        sim = sim - sim.amax(dim=-1, keepdim=True).detach()
        latents = latents + self.to_out(torch.einsum("b i j, b j d -> b i d", sim.softmax(dim=-1), v))
        recalled = torch.softmax(2.0 * latents @ self.patterns.t(), dim=-1) @ self.patterns
        return self.head((latents + recalled).mean(1))


class GAT(nn.Module):
    """Channels as nodes: attention on the edges by leaky ReLU of two scores, softmax over neighbours."""

    def __init__(self, nodes: int = 5, time: int = 12, dim: int = 4, heads: int = 2) -> None:
        super().__init__()
        self.heads, self.dim = heads, dim
        ring = torch.eye(nodes) + torch.eye(nodes).roll(1, 0) + torch.eye(nodes).roll(-1, 0)
        self.register_buffer("adj", ring)
        self.W = nn.Linear(time, heads * dim, bias=False)
        self.a = nn.Parameter(0.5 * torch.randn(heads, 2 * dim, 1))
        self.W2, self.a2 = nn.Linear(heads * dim, dim, bias=False), nn.Linear(2 * dim, 1, bias=False)
        self.head = nn.Linear(dim, 3)

    def forward(self, x: Tensor) -> Tensor:
        n = x.size(1)
        h = self.W(x).unflatten(-1, (self.heads, self.dim)).transpose(1, 2)
        source, target = torch.matmul(h, self.a[:, : self.dim]), torch.matmul(h, self.a[:, self.dim :])
        e = F.leaky_relu(source + target.mT, 0.2)
        e = torch.where(self.adj > 0, e, -9e15 * torch.ones_like(e))
        h = F.elu(torch.matmul(F.softmax(e, dim=-1), h).transpose(1, 2).flatten(2))
        h = self.W2(h)
        pairs = torch.cat([h.repeat_interleave(n, dim=1), h.repeat(1, n, 1)], dim=-1).view(-1, n, n, 2 * h.size(-1))
        e = self.a2(pairs).squeeze(-1).tanh().masked_fill(self.adj == 0, -1e9)
        e = e - e.max(dim=-1, keepdim=True)[0]
        weights = e.exp() * (self.adj > 0).to(e.dtype)
        weights = weights / weights.sum(dim=-1, keepdim=True).clamp_min(1e-12)
        return self.head(torch.bmm(weights, h).mean(1))


class GraphConv(nn.Module):
    """Messages along an edge list, gathered by index_add and scatter_add, normalised by degree; learnt adjacency."""

    def __init__(self, nodes: int = 5, time: int = 12, dim: int = 6) -> None:
        super().__init__()
        first = torch.arange(nodes)
        edges = torch.cat([torch.stack([first, first.roll(1)]), torch.stack([first.roll(1), first])], 1)
        self.register_buffer("edge_index", edges)
        self.edge_weight = nn.Parameter(torch.rand(edges.shape[1]))
        self.lin1, self.lin2, self.lin3 = nn.Linear(time, dim), nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim)
        self.A, self.head = nn.Parameter(torch.randn(nodes, nodes)), nn.Linear(dim, 3)
        self.post_bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        src, dst = self.edge_index
        degree = torch.zeros(x.size(1), dtype=x.dtype, device=x.device).index_add_(0, dst, self.edge_weight.abs())
        norm = (degree + 1).pow(-0.5)
        x = torch.relu(self.lin1(x))
        messages = self.lin2(x)[:, src] * (norm[src] * self.edge_weight * norm[dst])[:, None]
        out = torch.zeros_like(x)
        out.index_add_(1, dst, messages)
        x = F.relu(out + self.post_bias) + x
        messages = x.index_select(1, src)
        index = dst.view(1, -1, 1).expand_as(messages)
        summed = torch.zeros_like(x).scatter_add(1, index, messages)
        counts = torch.zeros_like(x).scatter_add(1, index, torch.ones_like(messages)).clamp(min=1)
        x = F.relu(self.lin3(summed / counts)) + x
        A = F.softmax(F.relu(self.A + self.A.T), dim=1)
        x = torch.einsum("nm,bmd->bnd", A, x)
        return self.head(x.amax(1))


MODELS: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "Mamba": lambda: (Mamba(), torch.randn(2, 8, 2)),
    "S4D": lambda: (S4D(), torch.randn(2, 16, 2)),
    "LinearAttention": lambda: (LinearAttention(), torch.randn(2, 8, 2)),
    "DeltaNet": lambda: (DeltaNet(), torch.randn(2, 8, 2)),
    "GatedRetention": lambda: (GatedRetention(), torch.randn(2, 8, 2)),
    "MinGRU": lambda: (MinGRU(), torch.randn(2, 8, 2)),
    "Cells": lambda: (Cells(), torch.randn(2, 6, 2)),
    "OwnLSTM": lambda: (OwnLSTM(), torch.randn(2, 6, 2)),
    "Packed": lambda: (Packed(), (torch.randn(3, 7, 2), torch.tensor([4, 7, 5]))),
    "FiLM": lambda: (FiLM(), (torch.randn(2, 2, 16), torch.randn(2, 3))),
    "Experts": lambda: (Experts(), torch.randn(3, 5, 2)),
    "HyperNet": lambda: (HyperNet(), torch.randn(2, 2, 14)),
    "Highway": lambda: (Highway(), torch.randn(3, 10, 2)),
    "Spectral": lambda: (Spectral(), torch.randn(3, 2, 16)),
    "Pyramid": lambda: (Pyramid(), torch.randn(2, 2, 24)),
    "NeuralODE": lambda: (NeuralODE(), torch.randn(3, 10, 2)),
    "Perceiver": lambda: (Perceiver(), torch.randn(2, 9, 2)),
    "GAT": lambda: (GAT(), torch.randn(2, 5, 12)),
    "GraphConv": lambda: (GraphConv(), torch.randn(2, 5, 12)),
}
CONSTANTS_LEFT: dict[str, str] = {
    "LinearAttention": "the kernel features of 0 are 1",
    "MinGRU": "in log space: the exponential of 0, the softplus of 0, 1/2 added to the state",
    "HyperNet": "the softmax of equal scores mixes all kernels",
    "NeuralODE": "time is an input of the field",
    "Perceiver": "learnt queries, sinusoidal positions",
}
ANY_LENGTH: dict[str, int] = {
    "Mamba": 1,
    "LinearAttention": 1,
    "DeltaNet": 1,
    "GatedRetention": 1,
    "MinGRU": 1,
    "Cells": 1,
    "OwnLSTM": 1,
}

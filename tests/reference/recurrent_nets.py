"""Recurrent nets with fixed parameters, and models that use them in different ways."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

NETS: dict[str, Callable[..., nn.RNNBase]] = {
    "lstm": nn.LSTM,
    "lstm projected": partial(nn.LSTM, proj_size=2),
    "gru": nn.GRU,
    "rnn tanh": nn.RNN,
    "rnn relu": partial(nn.RNN, nonlinearity="relu"),
}
CELLS: dict[str, Callable[..., nn.RNNCellBase]] = {
    "lstm": nn.LSTMCell,
    "gru": nn.GRUCell,
    "rnn tanh": nn.RNNCell,
    "rnn relu": partial(nn.RNNCell, nonlinearity="relu"),
}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filled(module: nn.Module, zero_bias: bool = False) -> Any:
    """Give a module the same parameters in every run."""
    module.double().eval()
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(torch.zeros(p.shape) if zero_bias and p.dim() == 1 else 0.7 * normal(*p.shape, seed=i + 7))
    return module


def net(name: str, zero_bias: bool = False, **options: Any) -> Any:
    return filled(NETS[name](**{"input_size": 3, "hidden_size": 4, "batch_first": True, **options}), zero_bias)


def first_states(module: nn.RNNBase, batch: int) -> list[Tensor]:
    """Return first states, samples first."""
    layers = module.num_layers * (1 + module.bidirectional)
    sizes = [module.proj_size or module.hidden_size, module.hidden_size]
    return [
        0.6 * normal(batch, layers, size, seed=20 + i) for i, size in enumerate(sizes[: 1 + (module.mode == "LSTM")])
    ]


def listed(states: Any) -> list[Tensor]:
    return list(states) if isinstance(states, tuple) else [states]


class Summed(nn.Module):
    """A weighted sum of all outputs and last states of a recurrent net; first states come samples first."""

    def __init__(self, module: nn.RNNBase) -> None:
        super().__init__()
        self.module = module
        self.eval()

    def outputs(self, x: Tensor, *first: Tensor) -> list[Tensor]:
        """Return all outputs and the last states, samples first."""
        states = tuple(s.transpose(0, 1).contiguous() for s in first)
        x = x if self.module.batch_first else x.transpose(0, 1)
        out, last = self.module(x, (states if len(states) > 1 else states[0]) if states else None)
        out = out if self.module.batch_first else out.transpose(0, 1)
        return [out, *(s.transpose(0, 1) for s in listed(last))]

    def forward(self, x: Tensor, *first: Tensor) -> Tensor:
        return read(torch.cat([part.flatten(1) for part in self.outputs(x, *first)], 1))


def read(features: Tensor) -> Tensor:
    return nn.functional.linear(features, factors(features))[:, 0]


def factors(features: Tensor) -> Tensor:
    return normal(1, features.shape[1], seed=3).to(features.dtype)


def pooled(out: Tensor, *last: Tensor) -> Tensor:
    """Return a weighted sum of the outputs of any number of steps and the last states."""
    return read(torch.cat([out.sum(1), *(part.flatten(1) for part in last)], 1))


class Stepped(nn.Module):
    """The cell in a loop, beginning without a state."""

    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        self.cell = cell
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        states, outs = None, []
        for step in x.unbind(1):
            states = self.cell(step, states)
            outs.append(states[0] if isinstance(states, tuple) else states)
        last = [s[:, None] for s in listed(states)]
        return read(torch.cat([part.flatten(1) for part in (torch.stack(outs, 1), *last)], 1))


class Packed(nn.Module):
    def __init__(self, module: nn.RNNBase, lengths: list[int], is_sorted: bool) -> None:
        super().__init__()
        self.module, self.lengths, self.is_sorted = module, lengths, is_sorted
        self.eval()

    def forward(self, x: Tensor, *first: Tensor) -> Tensor:
        first_dim = self.module.batch_first
        x = x if first_dim else x.transpose(0, 1)
        states = tuple(s.transpose(0, 1).contiguous() for s in first)
        packed = pack_padded_sequence(x, self.lengths, batch_first=first_dim, enforce_sorted=self.is_sorted)
        packed, last = self.module(packed, states if len(states) > 1 else states[0])
        out, _ = pad_packed_sequence(packed, batch_first=True)
        return pooled(out, *(s.transpose(0, 1) for s in listed(last)))


class Started(nn.Module):
    """First states that are parameters, or computed from the input where nobody sees it."""

    def __init__(self, module: nn.RNNBase, cut: bool) -> None:
        super().__init__()
        self.module, self.cut = module, cut
        self.states = nn.ParameterList(s[0] for s in first_states(module, 1))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(not self.cut):
            extra = 0.1 * x.sum() if self.cut else 0.0
            states = tuple((s + extra)[:, None].expand(-1, len(x), -1).contiguous() for s in self.states)
        out, last = self.module(x, states if len(states) > 1 else states[0])
        return pooled(out, *(s.transpose(0, 1) for s in listed(last)))

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from signalrp.validation.sanity.randomised import cascade, inside, layers_from_output


class Backwards(nn.Module):
    """Its parts are defined in another order than they are called in."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([2.0, 3.0]))
        self.last = nn.Linear(4, 2)
        self.block = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(), nn.Conv1d(3, 4, 3))
        self.first = parametrizations.weight_norm(nn.Conv1d(1, 3, 3))
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.block(self.first(x)).mean(2)) * self.scale


@pytest.fixture
def model() -> Backwards:
    torch.manual_seed(0)
    model = Backwards()
    model.block[0].running_mean += 5
    model.block[0].running_var *= 2
    with torch.no_grad():
        model.block[0].weight.add_(torch.randn(3))
    return model


def changed(one: nn.Module, two: nn.Module) -> set[str]:
    second = dict(two.state_dict())
    return {name for name, value in one.state_dict().items() if not torch.equal(value, second[name])}


def test_layers_come_in_the_opposite_order_of_their_calls(model):
    layers = layers_from_output(model, torch.randn(2, 1, 20))
    # the weight norm is computed while its layer is called, the scale belongs to the model itself
    assert layers[:3] == ["last", "block.2", "block.0"]
    assert set(layers[3:5]) == {"first", "first.parametrizations.weight"}
    assert layers[5] == ""


def test_a_projection_that_is_never_called_goes_with_its_attention():
    class Attentive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
            self.head = nn.Linear(4, 2)
            self.embed = nn.Linear(1, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.embed(x.transpose(1, 2))
            return self.head(self.attention(x, x, x)[0].mean(1))

    model = Attentive().eval()
    layers = layers_from_output(model, torch.randn(2, 1, 5))
    assert layers == ["head", "attention", "attention.out_proj", "embed"]
    *_, copied = cascade(model, [[path] for path in layers], 0)
    # biases that are all 0 have no spread to be drawn from
    assert changed(model, copied) == model.state_dict().keys() - {"attention.in_proj_bias"}


def test_each_step_changes_one_layer_more_and_nothing_else(model):
    before = copy.deepcopy(model)
    layers = layers_from_output(model, torch.randn(2, 1, 20))
    state = torch.get_rng_state()
    expected: set[str] = set()
    for path, copied in zip(layers, cascade(model, [[path] for path in layers], 3), strict=True):
        own = {name for name in model.state_dict() if name.rpartition(".")[0] == path}
        # no data has been counted yet, and biases of a batch norm start from 0
        expected |= own - {"block.0.num_batches_tracked", "block.0.bias"}
        assert changed(model, copied) == expected
        assert not any(module.training for module in copied.modules())
    assert expected == model.state_dict().keys() - {"block.0.num_batches_tracked", "block.0.bias"}
    assert torch.equal(torch.get_rng_state(), state)
    assert not changed(model, before)
    assert not changed(copied.block[0], nn.BatchNorm1d(3))


def test_weights_without_a_reset_keep_their_mean_and_spread():
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(3 + 0.5 * torch.randn(200, 200))

    (copied,) = cascade(Plain().eval(), [[""]], 0)
    assert copied.weight.mean().item() == pytest.approx(3, abs=0.02)
    assert copied.weight.std().item() == pytest.approx(0.5, rel=0.02)


def test_what_is_inside_a_module(model):
    assert inside(model, "block") == ["block.0", "block.2"]
    assert inside(model, "first") == ["first", "first.parametrizations.weight"]
    assert inside(model, "") == ["", "last", "block.0", "block.2", "first", "first.parametrizations.weight"]


def test_the_reset_of_a_container_does_not_reach_into_its_parts():
    class Eager(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = nn.Linear(3, 3)
            self.gain = nn.Parameter(torch.randn(3))

        def reset_parameters(self) -> None:
            self.part.reset_parameters()

    model = Eager().eval()
    states = [changed(model, copied) for copied in cascade(model, [[""], ["part"]], 0)]
    assert states == [{"gain"}, {"gain", "part.weight", "part.bias"}]


def test_seeds_repeat(model):
    steps = [["last"], ["first"]]
    one, same, other = (list(cascade(model, steps, seed))[-1] for seed in (1, 1, 2))
    assert not changed(one, same)
    assert {"last.weight", "last.bias", "first.bias"} <= changed(one, other)


def test_what_cannot_be_randomised_is_refused(model):
    with pytest.raises(ValueError, match=r"no module 'middle' with weights; it has '', 'last', 'block.0', "):
        inside(model, "middle")
    with pytest.raises(ValueError, match=r"no module 'block.1' with weights"):
        inside(model, "block.1")
    with pytest.raises(ValueError, match=r"The model \(ReLU\) has no weights"):
        list(cascade(nn.ReLU().eval(), [[""]], 0))
    with pytest.raises(ValueError, match=r"The model \(function\) has no weights"):
        layers_from_output(lambda x: x, torch.zeros(1, 1))
    model.kept = model.last.weight * 2
    with pytest.raises(ValueError, match=r"cannot be copied \(Only Tensors created explicitly"):
        list(cascade(model, [["last"]], 0))

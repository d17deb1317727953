"""Whole networks: the account closes, nothing of the model changes, nothing stays behind."""

from __future__ import annotations

import contextlib
import copy
import gc
import weakref
from typing import Any

import pytest
import torch
from reference.checks import TOLERANCE, assert_accounted, assert_same_state, state
from reference.networks import NETWORKS, Several, network, randomise
from torch import Tensor, nn

import signalrp
from signalrp import AlphaBeta, Composite, Epsilon, Flat, Gamma, WSquare, ZPlus

COMPOSITES: dict[str, Any] = {
    "epsilon": "epsilon",
    "epsilon-plus": "epsilon-plus",
    "epsilon-plus-flat": "epsilon-plus-flat",
    "epsilon-gamma-box": signalrp.composite("epsilon-gamma-box", low=-5.0, high=5.0),
    "epsilon-alpha2-beta1": "epsilon-alpha2-beta1",
    "epsilon-alpha2-beta1-flat": "epsilon-alpha2-beta1-flat",
    "deep-taylor": "deep-taylor",
    "excitation-backprop": "excitation-backprop",
    "gamma": Gamma(0.5),
    "bias redistributed": AlphaBeta(2, 1, bias="redistribute"),
    "flat from the third sum down": Composite(Epsilon(1e-3)).where(WSquare(), from_input=2).where(Flat(), from_input=1),
    "products and softmax": Composite(ZPlus(), products="equal", softmax="taylor"),
}


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_account_closes(name: str, composite: str) -> None:
    model, x = network(name)
    plain = signalrp.attribute(model, x, None, COMPOSITES[composite])
    audited = signalrp.attribute(model, x, None, COMPOSITES[composite], audit=True)
    scale = float(plain.relevance.abs().max())
    assert scale > 0
    assert float((plain.relevance - audited.relevance).abs().max()) <= TOLERANCE * scale
    torch.testing.assert_close(plain.output, model(x), rtol=0, atol=0)
    assert_accounted(audited)


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus", "epsilon-plus-flat", "gamma", "bias redistributed"])
def test_several_inputs_and_nested_outputs(composite: str) -> None:
    model, generator = randomise(Several()), torch.Generator().manual_seed(1)
    inputs = {
        "signal": torch.randn(3, 2, 9, generator=generator, dtype=torch.float64),
        "extra": torch.randn(3, 3, generator=generator, dtype=torch.float64),
    }
    by_name = signalrp.attribute(model, inputs, 1, COMPOSITES[composite], audit=True)
    assert_accounted(by_name)
    by_place = signalrp.attribute(model, tuple(inputs.values()), 1, COMPOSITES[composite])
    assert list(by_name.relevance) == ["signal", "extra"]
    for a, b in zip(by_name.relevance.values(), by_place.relevance, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("audit", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_of_the_model_changes(name: str, audit: bool) -> None:
    model, x = network(name)
    before, kept = state(model), x.clone()
    random, grad = torch.random.get_rng_state(), torch.is_grad_enabled()
    first = signalrp.attribute(model, x, 1, "epsilon-plus-flat", audit=audit)
    second = signalrp.attribute(model, x, 1, "epsilon-plus-flat", audit=audit)
    assert_same_state(before, state(model))
    assert torch.equal(torch.random.get_rng_state(), random)
    assert torch.is_grad_enabled() == grad
    assert torch.equal(x, kept)
    assert not x.requires_grad
    assert x.grad is None
    assert vars(x) == {}
    assert torch.equal(first.relevance, second.relevance)
    assert torch.equal(first.output, second.output)
    assert not first.relevance.requires_grad
    assert not first.output.requires_grad


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus", "epsilon-alpha2-beta1", "gamma", "deep-taylor"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_is_its_single_trials(name: str, composite: str) -> None:
    model, x = network(name)
    whole = signalrp.attribute(model, x, None, COMPOSITES[composite]).relevance
    single = torch.cat([signalrp.attribute(model, t[None], None, COMPOSITES[composite]).relevance for t in x])
    assert float((whole - single).abs().max()) <= 1e-9 * float(whole.abs().max())


@pytest.mark.parametrize("name", ["plain", "resnet", "densenet", "eegnet"])
def test_frozen_parameters_and_callers_modes_make_no_difference(name: str) -> None:
    model, x = network(name)
    expected = signalrp.attribute(model, x, 0, "epsilon-plus").relevance
    frozen = copy.deepcopy(model).requires_grad_(False)
    assert torch.equal(signalrp.attribute(frozen, x, 0, "epsilon-plus").relevance, expected)
    with torch.no_grad():
        assert torch.equal(signalrp.attribute(model, x, 0, "epsilon-plus").relevance, expected)
        assert not torch.is_grad_enabled()
    leaf = x.clone().requires_grad_()
    assert torch.equal(signalrp.attribute(model, leaf, 0, "epsilon-plus").relevance, expected)
    assert leaf.grad is None
    through = leaf * 1.0
    assert torch.equal(signalrp.attribute(model, through, 0, "epsilon-plus").relevance, expected)


def test_inference_mode_is_left_as_it_was() -> None:
    model, x = network("plain")
    expected = signalrp.attribute(model, x, 0, "epsilon-plus").relevance
    with torch.inference_mode():
        made_inside = x.clone()
        try:
            found = signalrp.attribute(model, made_inside, 0, "epsilon-plus").relevance
        except (ValueError, RuntimeError) as error:
            assert "inference" in str(error)  # noqa: PT017
            return
    assert torch.equal(found, expected)


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU())
        self.broken = True

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(x)
        if self.broken:
            raise KeyError("something in the model")
        return x.mean(2)


def test_hooks_are_removed_after_an_exception() -> None:
    model = randomise(Failing())
    x = torch.randn(2, 2, 9, dtype=torch.float64)
    before = state(model)["hooks"]
    with pytest.raises(KeyError):
        signalrp.attribute(model, x, 0)
    assert state(model)["hooks"] == before
    model.broken = False
    with pytest.raises(ValueError, match="out of range"):
        signalrp.attribute(model, x, 5)
    assert state(model)["hooks"] == before
    signalrp.attribute(model, x, 1)


def tensors_alive() -> int:
    gc.collect()
    return sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())


@pytest.mark.parametrize("audit", [False, True])
@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus-flat"])
@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_stays_in_memory(name: str, composite: str, audit: bool) -> None:
    model, x = network(name)
    signalrp.attribute(model, x, 0, composite, audit=audit)
    before = tensors_alive()
    for _ in range(3):
        signalrp.attribute(model, x, 0, composite, audit=audit)
    assert tensors_alive() <= before


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus-flat"])
@pytest.mark.parametrize("name", NETWORKS)
def test_activations_are_freed(name: str, composite: str) -> None:
    # Activations are no longer reached by Python, but a cycle through the graph would keep them all the same.
    model, x = network(name)
    seen: list[weakref.ref[Tensor]] = []
    storages: list[weakref.ref[Any]] = []

    def note(module: nn.Module, args: Any, out: Any) -> None:
        for tensor in out.values() if isinstance(out, dict) else [out]:
            if isinstance(tensor, Tensor):
                seen.append(weakref.ref(tensor))
                storages.append(weakref.ref(tensor.untyped_storage()))

    handles = [m.register_forward_hook(note) for m in model.modules()]
    result = signalrp.attribute(model, x, 0, composite, layers=[])
    for handle in handles:
        handle.remove()
    del result
    gc.collect()
    assert seen
    assert [ref for ref in seen if ref() is not None] == []


def test_a_failed_call_leaves_nothing_in_memory() -> None:
    model = randomise(Failing())
    x = torch.randn(2, 2, 9, dtype=torch.float64)

    def fail() -> None:
        with contextlib.suppress(KeyError):
            signalrp.attribute(model, x, 0)

    fail()
    before = tensors_alive()
    for _ in range(3):
        fail()
    assert tensors_alive() <= before


def weight_norm_net(kind: str) -> nn.Module:
    conv, dense = nn.Conv1d(2, 4, 3, padding=1), nn.Linear(4, 3)
    if kind == "weight norm":
        conv, dense = (nn.utils.parametrizations.weight_norm(m) for m in (conv, dense))
    elif kind == "weight norm by hooks":
        conv, dense = (nn.utils.weight_norm(m) for m in (conv, dense))
    else:
        conv, dense = (nn.utils.parametrizations.spectral_norm(m) for m in (conv, dense))
    return randomise(nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), dense))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["weight norm", "weight norm by hooks", "spectral norm"])
@pytest.mark.parametrize("composite", ["epsilon-plus", "gamma"])
def test_weights_that_are_computed(kind: str, composite: str) -> None:
    # They depend on parameters only: constants of the model.
    model = weight_norm_net(kind)
    x = torch.randn(2, 2, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        model(x)
        plain = nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), *model[1:4], nn.Linear(4, 3)).double().eval()
        for i in (0, 4):
            plain[i].weight.copy_(model[i].weight)
            plain[i].bias.copy_(model[i].bias)
    found = signalrp.attribute(model, x, 1, COMPOSITES[composite], audit=True)
    assert_accounted(found)
    expected = signalrp.attribute(plain, x, 1, COMPOSITES[composite]).relevance
    torch.testing.assert_close(found.relevance, expected, rtol=1e-10, atol=1e-13)
    model(x).sum().backward()


class Dense(nn.Module):
    """The same network in other words: with matrix products and transposes in place of modules."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        w, v, b, a = self.first.weight, self.second.weight, self.first.bias, self.second.bias
        if self.words == "linear":
            return self.second(torch.relu(self.first(x)))
        if self.words == "matmul":
            return torch.relu(x @ w.T + b) @ v.T + a
        if self.words == "mm in place":
            out = x.mm(w.t())
            out += b
            return torch.addmm(a, out.relu_(), v.t())
        return torch.einsum("bi,oi->bo", torch.relu(torch.einsum("bi,oi->bo", x, w) + b), v) + a


@pytest.mark.parametrize("words", ["matmul", "mm in place", "einsum"])
def test_a_network_in_other_words(words: str) -> None:
    # Under epsilon the bias keeps its share wherever it is added.
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = signalrp.attribute(randomise(Dense("linear")), x, 1, Epsilon(0.0)).relevance
    found = signalrp.attribute(randomise(Dense(words)), x, 1, Epsilon(0.0), audit=True)
    assert_accounted(found)
    torch.testing.assert_close(found.relevance, expected, rtol=1e-10, atol=1e-13)

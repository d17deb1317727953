"""What attribute() takes, returns and refuses."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import pytest
import torch
from reference.networks import Reused, network, randomise
from torch import Tensor, nn

import signalrp


@pytest.fixture
def model() -> nn.Module:
    return network("plain")[0]


@pytest.fixture
def x() -> Tensor:
    return network("plain")[1]


# -- targets ----------------------------------------


@pytest.mark.parametrize("target", [[2, 0, 1], (2, 0, 1), torch.tensor([2, 0, 1]), torch.tensor([2, 0, 1]).int()])
def test_a_target_per_sample(model: nn.Module, x: Tensor, target: Any) -> None:
    found = signalrp.attribute(model, x, target)
    for i, wanted in enumerate((2, 0, 1)):
        single = signalrp.attribute(model, x[i : i + 1], wanted)
        torch.testing.assert_close(found.relevance[i], single.relevance[0], rtol=1e-10, atol=1e-13)
    assert found.target.tolist() == [2, 0, 1]
    torch.testing.assert_close(found.explained, model(x).detach()[torch.arange(3), [2, 0, 1]])


def test_one_target_for_all(model: nn.Module, x: Tensor) -> None:
    for target in (1, torch.tensor(1)):
        found = signalrp.attribute(model, x, target)
        assert found.target.tolist() == [1, 1, 1]
        assert torch.equal(found.relevance, signalrp.attribute(model, x, [1, 1, 1]).relevance)


def test_without_a_target_the_predicted_class_is_explained(model: nn.Module, x: Tensor) -> None:
    found = signalrp.attribute(model, x)
    assert torch.equal(found.target, model(x).argmax(1))
    assert torch.equal(found.relevance, signalrp.attribute(model, x, model(x).argmax(1)).relevance)


def test_a_function_as_target(model: nn.Module, x: Tensor) -> None:
    difference = signalrp.attribute(model, x, lambda out: out[:, 0] - out[:, 2], "epsilon", audit=True)
    first, second = (signalrp.attribute(model, x, c, "epsilon").relevance for c in (0, 2))
    torch.testing.assert_close(difference.relevance, first - second, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(difference.explained, difference.relevance.sum((1, 2)) + difference.absorbed)
    assert difference.target is None


def test_a_function_as_target_of_a_sequence(x: Tensor) -> None:
    conv = randomise(nn.Conv1d(2, 4, 3))
    found = signalrp.attribute(conv, x, lambda out: out[:, 1, 10:12].sum(1), "epsilon")
    assert float(found.relevance[..., :10].abs().max()) == 0.0
    assert float(found.relevance[..., 10:14].abs().max()) > 0.0


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "target 3 is out of range.*0 to 2"),
        (-1, "target -1 is out of range"),
        ([0, 1, 7], "target 7 is out of range"),
        ([0, 1], "2 targets for 3 samples"),
        (torch.tensor([0.0, 1.0, 2.0]), "must be integers"),
        (torch.tensor([True, False, True]), "must be integers"),
        (torch.zeros(3, 3, dtype=torch.long), "must be integers, one or one per sample"),
        (lambda out: out, r"one number per sample"),
        (lambda out: 3.0, r"one number per sample"),
        (lambda out: out.sum(), r"one number per sample"),
        (lambda out: out[:2, 0], r"one number per sample|samples"),
    ],
)
def test_wrong_targets_are_refused(model: nn.Module, x: Tensor, target: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        signalrp.attribute(model, x, target)


# -- inputs and models that are refused ----------------------------------------


def test_values_that_are_not_finite_are_refused(model: nn.Module, x: Tensor) -> None:
    for bad in (torch.nan, torch.inf):
        broken = x.clone()
        broken[0, 0, 3] = bad
        with pytest.raises(ValueError, match="1 of 180 input values are NaN or infinite"):
            signalrp.attribute(model, broken)
    model[9].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="output holds NaN"):
        signalrp.attribute(model, x)


def test_training_mode_is_refused(model: nn.Module, x: Tensor) -> None:
    with pytest.raises(ValueError, match=r"the model is in training mode.*model\.eval\(\)"):
        signalrp.attribute(model.train(), x)
    model.eval()[1].train()
    with pytest.raises(ValueError, match="module '1' is in training mode"):
        signalrp.attribute(model, x)


def test_scripted_and_traced_models_are_refused(model: nn.Module, x: Tensor) -> None:
    for hidden in (torch.jit.script(model), torch.jit.trace(model, x)):
        with pytest.raises(TypeError, match="ScriptModule"):
            signalrp.attribute(hidden, x)


def test_a_scripted_part_is_refused(model: nn.Module, x: Tensor) -> None:
    parts = nn.Sequential(*model[:4], torch.jit.script(model[4:6]), *model[6:]).eval()
    with pytest.raises((TypeError, signalrp.UnsupportedOperation)):
        signalrp.attribute(parts, x)


def test_a_compiled_model_is_explained_by_its_original(model: nn.Module, x: Tensor) -> None:
    compiled = torch.compile(model, backend="eager")
    assert torch.equal(signalrp.attribute(compiled, x).relevance, signalrp.attribute(model, x).relevance)


def test_what_is_no_tensor_is_refused(model: nn.Module) -> None:
    for nothing in ([], None, "signal", {}, 3.0):
        with pytest.raises((TypeError, ValueError), match="tensor"):
            signalrp.attribute(model, nothing)


def test_unknown_names_are_refused(model: nn.Module, x: Tensor) -> None:
    with pytest.raises(ValueError, match="no composite 'epsilom'"):
        signalrp.attribute(model, x, None, "epsilom")
    with pytest.raises(ValueError, match="needs the lowest and the highest"):
        signalrp.attribute(model, x, None, "epsilon-gamma-box")
    with pytest.raises(ValueError, match="no module 'head'"):
        signalrp.attribute(model, x, layers=["head"])
    with pytest.raises(ValueError, match="unknown must be"):
        signalrp.attribute(model, x, unknown="ignore")
    with pytest.raises(ValueError, match="no weighted sum matches"):
        signalrp.attribute(model, x, None, signalrp.Composite().where(signalrp.Flat(), path="stem.*"))


def test_an_output_without_a_way_back_is_refused(x: Tensor) -> None:
    for function in (
        lambda v: v.detach().flatten(1),
        lambda v: torch.zeros(3, 2),
        lambda v: (v > 0).double().flatten(1),
    ):
        with pytest.raises(ValueError, match="does not depend on the inputs"):
            signalrp.attribute(function, x, 0)


# -- nested inputs and outputs ----------------------------------------


class Pair(NamedTuple):
    logits: Tensor
    features: Tensor


WRAPPED = {
    "tuple": lambda y: (y, y * 2),
    "list": lambda y: [y],
    "nested": lambda y: ((y, None), "text"),
    "dict": lambda y: {"features": y * 3, "logits": y},
    "ordered": lambda y: OrderedDict(scores=y),
    "named tuple": lambda y: Pair(y, y * 2),
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_nested_outputs(model: nn.Module, x: Tensor, kind: str) -> None:
    wrap = WRAPPED[kind]
    found = signalrp.attribute(lambda v: wrap(model(v)), x, 1, "epsilon")
    torch.testing.assert_close(found.relevance, signalrp.attribute(model, x, 1, "epsilon").relevance)
    assert torch.equal(found.output, model(x))


def test_nested_inputs_keep_their_structure(x: Tensor) -> None:
    def function(first: Tensor, rest: dict[str, Any], steps: Tensor) -> Tensor:
        return (first * 2 + rest["a"] * 3 + rest["b"][0]).flatten(1) + steps[:, None]

    steps = torch.tensor([1, 2, 3])
    found = signalrp.attribute(function, (x, {"a": x + 1, "b": [x * 2]}, steps), 4, "epsilon", audit=True)
    first, rest, none = found.relevance
    assert none is None
    assert isinstance(rest, dict)
    assert isinstance(rest["b"], list)
    for relevance, value in ((first, 2 * x), (rest["a"], 3 * (x + 1)), (rest["b"][0], 2 * x)):
        expected = torch.zeros_like(x)
        expected[:, 0, 4] = value[:, 0, 4]
        torch.testing.assert_close(relevance, expected)
    torch.testing.assert_close(found.absorbed, steps.double())


def test_an_input_that_is_not_used_gets_nothing(x: Tensor) -> None:
    found = signalrp.attribute(lambda a, b: a.flatten(1), (x, x), 1, "epsilon")
    assert float(found.relevance[1].abs().max()) == 0.0


def test_the_same_tensor_twice(x: Tensor) -> None:
    found = signalrp.attribute(lambda a, b: (a - 3 * b).flatten(1), (x, x), 1, "epsilon")
    assert float(found.relevance[0][0, 0, 1]) == pytest.approx(float(x[0, 0, 1]))
    assert float(found.relevance[1][0, 0, 1]) == pytest.approx(-3 * float(x[0, 0, 1]))


def test_one_output_per_sample(model: nn.Module, x: Tensor) -> None:
    found = signalrp.attribute(lambda v: model(v)[:, 1], x, None, "epsilon")
    torch.testing.assert_close(found.relevance, signalrp.attribute(model, x, 1, "epsilon").relevance)
    assert found.target is None
    with pytest.raises(ValueError, match="batch, classes"):
        signalrp.attribute(lambda v: model(v)[:, 1], x, 1)
    with pytest.raises(ValueError, match="target function"):
        signalrp.attribute(nn.Conv1d(2, 2, 3).double().eval(), x, 1)


def test_integer_inputs() -> None:
    table, head = randomise(nn.Embedding(9, 4)), randomise(nn.Linear(4, 3))
    tokens = torch.tensor([[1, 2, 3], [4, 5, 8]])
    found = signalrp.attribute(lambda t: head(table(t).mean(1)), tokens, 1, "epsilon", audit=True, layers=())
    assert found.relevance is None
    torch.testing.assert_close(found.absorbed, found.explained)
    bias = head.bias[1].item()
    booked = found.ledger.groupby("sample")["source"].sum().to_numpy()
    torch.testing.assert_close(torch.tensor(booked), found.explained - bias, rtol=1e-4, atol=1e-4)


def test_tokens_beside_a_signal(x: Tensor) -> None:
    table = randomise(nn.Embedding(4, 2))
    tokens = torch.tensor([0, 3, 1])
    found = signalrp.attribute(lambda v, t: v[..., 0] + table(t), (x, tokens), 1, "epsilon", audit=True)
    torch.testing.assert_close(found.relevance[0][:, 1, 0], x[:, 1, 0])
    torch.testing.assert_close(found.absorbed, table(tokens)[:, 1].detach())


# -- layers ----------------------------------------


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus", "epsilon-plus-flat", signalrp.Flat()])
def test_relevance_at_layers(model: nn.Module, x: Tensor, composite: Any) -> None:
    # Behind each layer the rest of the network, explained by itself, must give the layer's relevance.
    paths = [name for name, _ in model.named_children()]
    found = signalrp.attribute(model, x, 1, composite, layers=paths)
    tops = {"0": 2, "1": 2}  # a convolution and the batch norm behind it are one sum
    values = x
    for i, path in enumerate(paths[:-1]):
        values = model[i](values).detach()
        assert found.layers[path].shape == values.shape
        if path not in tops and path not in ("4",) and composite in ("epsilon", "epsilon-plus"):
            rest = signalrp.attribute(model[i + 1 :].eval(), values, 1, composite)
            torch.testing.assert_close(found.layers[path], rest.relevance, rtol=1e-9, atol=1e-12)
    assert found.layers["9"].sum(1).tolist() == pytest.approx(found.explained.tolist())
    assert list(found.layers) == paths


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus", "epsilon-plus-flat", signalrp.Flat()])
def test_a_convolution_merged_with_its_norm(model: nn.Module, x: Tensor, composite: Any) -> None:
    found = signalrp.attribute(model, x, 1, composite, layers=["0", "1", "2", "4", "5"])
    torch.testing.assert_close(found.layers["0"], found.layers["1"], rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(found.layers["4"], found.layers["5"], rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(found.layers["1"], found.layers["2"], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus", "epsilon-plus-flat"])
def test_a_module_called_three_times(composite: str) -> None:
    model, x = network("reused")
    found = signalrp.attribute(model, x, 1, composite, layers=["conv", "norm", "head", "stem"])
    assert isinstance(model, Reused)
    assert [r.shape[-1] for r in found.layers["conv"]] == [24, 12, 6]
    for conv, norm in zip(found.layers["conv"], found.layers["norm"], strict=True):
        torch.testing.assert_close(conv, norm, rtol=1e-10, atol=1e-13)
    assert isinstance(found.layers["head"], Tensor)


def test_a_layer_that_returns_a_tuple(x: Tensor) -> None:
    class Halves(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            return x[:, :1], {"rest": x[:, 1:] * 2}

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.halves = Halves()

        def forward(self, x: Tensor) -> Tensor:
            first, rest = self.halves(x)
            return (first + rest["rest"]).flatten(1)

    found = signalrp.attribute(Model().eval(), x, 2, "epsilon", layers=["halves"]).layers["halves"]
    assert float(found[0][0, 0, 2]) == pytest.approx(float(x[0, 0, 2]))
    assert float(found[1]["rest"][0, 0, 2]) == pytest.approx(2 * float(x[0, 1, 2]))


def test_a_layer_overwritten_afterwards(x: Tensor) -> None:
    in_place = randomise(nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(84, 3)))
    plain = nn.Sequential(in_place[0], nn.ReLU(), *in_place[2:]).eval()
    for composite in ("epsilon", "epsilon-plus"):
        found = signalrp.attribute(in_place, x, 1, composite, layers=["0", "1"])
        expected = signalrp.attribute(plain, x, 1, composite, layers=["0", "1"])
        for path in ("0", "1"):
            torch.testing.assert_close(found.layers[path], expected.layers[path], rtol=1e-10, atol=1e-13)


def test_a_layer_that_the_output_does_not_read(x: Tensor) -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.aside = nn.Linear(30, 2), nn.Linear(30, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.used(x.sum(1)), self.aside(x.sum(1))

    found = signalrp.attribute(randomise(Aside()), x, 1, "epsilon-plus", layers=["aside"])
    assert float(found.layers["aside"].abs().max()) == 0.0


# -- types of numbers ----------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.3)])
@pytest.mark.parametrize(
    "composite", ["epsilon", "epsilon-plus", "epsilon-plus-flat", "epsilon-alpha2-beta1", signalrp.Gamma(0.25)]
)
@pytest.mark.parametrize("name", ["plain", "densenet", "squeeze-excitation"])
def test_precisions(name: str, composite: Any, dtype: torch.dtype, tolerance: float) -> None:
    model, x = network(name)
    exact = signalrp.attribute(model, x, 1, composite).relevance
    found = signalrp.attribute(model.to(dtype), x.to(dtype), 1, composite)
    assert found.relevance.dtype == dtype
    assert torch.isfinite(found.relevance).all()
    if (name, dtype) == ("densenet", torch.bfloat16):
        return  # norms before convolutions cancel; eight bits are not enough for that
    assert float((found.relevance.double() - exact).abs().max()) <= tolerance * float(exact.abs().max())


@pytest.mark.parametrize(
    "composite", ["epsilon", "epsilon-plus", "epsilon-plus-flat", "epsilon-alpha2-beta1", signalrp.Gamma(0.25)]
)
@pytest.mark.parametrize(
    "name",
    ["plain", "resnet", "densenet", "inceptiontime", "squeeze-excitation", "eegnet", "unet", "vgg", "norms", "mlp"],
)
def test_the_account_in_single_precision(name: str, composite: Any) -> None:
    model, x = network(name)
    found = signalrp.attribute(model.float(), x.float(), 1, composite, audit=True)
    total = found.relevance.double().flatten(1).sum(1) + found.absorbed
    scale = max(float(found.relevance.abs().sum()), float(found.ledger["received"].abs().max()))
    assert float((total - found.explained.double()).abs().max()) <= 1e-6 * scale


def test_autocast_is_finite_and_close(model: nn.Module, x: Tensor) -> None:
    model, x = model.float(), x.float()
    exact = signalrp.attribute(model, x, 1, "epsilon").relevance
    with torch.autocast("cpu", torch.bfloat16):
        found = signalrp.attribute(model, x, 1, "epsilon").relevance
    assert torch.isfinite(found).all()
    assert float((found.float() - exact).abs().max()) <= 0.3 * float(exact.abs().max())


def test_complex_signals_in_between(x: Tensor) -> None:
    # A spectrogram in front of a classifier: relevance of the signal in time is real and adds up.
    head = randomise(nn.Linear(32, 3))

    def model(v: Tensor) -> Tensor:
        return head(torch.fft.rfft(v).abs().flatten(1))

    found = signalrp.attribute(model, x, 1, "epsilon", audit=True)
    assert not found.relevance.is_complex()
    torch.testing.assert_close(found.relevance.sum((1, 2)) + found.absorbed, found.explained)


def test_a_callable_target_leaves_the_output_the_models(model: nn.Module, x: Tensor) -> None:
    result = signalrp.attribute(model, x, lambda out: out[:, 0] - out[:, 1])
    assert torch.equal(result.output, model(x))
    torch.testing.assert_close(result.explained, result.output[:, 0] - result.output[:, 1])
    assert result.target is None


# -- relevance per unit of the input ----------------


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus"])
def test_relevance_is_the_input_times_its_relevance_per_unit(model: nn.Module, x: Tensor, composite: str) -> None:
    found = signalrp.attribute(model, x, composite=composite)
    torch.testing.assert_close(found.relevance, x * found.per_unit, rtol=0, atol=0)


def test_relevance_per_unit_is_known_where_the_input_is_zero() -> None:
    layer = nn.Linear(3, 2, bias=False).double().eval()
    x = torch.tensor([[0.0, 2.0, -1.0]], dtype=torch.float64)
    found = signalrp.attribute(layer, x, 1, signalrp.Epsilon(0.0))
    torch.testing.assert_close(found.per_unit, layer.weight[1:2].detach())
    assert found.relevance[0, 0] == 0


def test_what_a_rule_gives_as_such_is_beside_relevance_per_unit(model: nn.Module, x: Tensor) -> None:
    flat = signalrp.composite("epsilon").where(signalrp.Flat(), from_input=1)
    found = signalrp.attribute(model, x, composite=flat)
    assert not found.per_unit.any()
    assert found.relevance.any()


def test_relevance_per_unit_of_complex_and_of_integer_inputs() -> None:
    z = torch.randn(2, 5, dtype=torch.complex128)
    found = signalrp.attribute(lambda z, n: (z * n).abs().sum(1), (z, torch.arange(5)), composite="epsilon")
    torch.testing.assert_close(found.relevance[0], (z * found.per_unit[0].conj()).real)
    assert found.per_unit[1] is None

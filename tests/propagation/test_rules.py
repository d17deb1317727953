"""Every rule on every form of weighted sum, element by element against the dense reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.cases import RULES, SIGNS, TOLERANCE, Case, compare, values
from torch import Tensor

import signalrp

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MODES = pytest.mark.parametrize("as_relevance", [False, True], ids=["per unit", "as relevance"])
EVERY_RULE = pytest.mark.parametrize("name", RULES)


def check(case: Case, name: str, as_relevance: bool) -> None:
    difference = compare(case, RULES[name], as_relevance)
    assert difference <= TOLERANCE, f"{name}: differs by {difference:.3g} of the scale"


def spatial(bias: Tensor | None, dims: int) -> Tensor | None:
    return None if bias is None else bias.reshape(-1, *[1] * dims)


def linear_case(batch: tuple[int, ...], inputs: int, outputs: int, signs: str, with_bias: bool, seed: int) -> Case:
    g = torch.Generator().manual_seed(seed)
    weight, x = values((outputs, inputs), "signed", g), values((*batch, inputs), signs, g)
    bias = values((outputs,), "signed", g) if with_bias else None
    return Case(lambda v: F.linear(v, weight, bias), F.linear, weight, bias, x)


@st.composite
def convolution_cases(draw: Any, dims: int, transposed: bool) -> Case:
    g = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    groups = draw(st.sampled_from([1, 1, 2]))
    inputs, outputs = (groups * draw(st.integers(1, 3 - dims // 2)) for _ in range(2))
    each = st.integers(1, 3 if dims == 1 else 2)
    kernel, stride, dilation = (tuple(draw(each) for _ in range(dims)) for _ in range(3))
    padding = tuple(
        draw(st.integers(0, 2 if not transposed else d * (k - 1))) for k, d in zip(kernel, dilation, strict=True)
    )
    size = tuple(
        d * (k - 1) + 1 + draw(st.integers(0, 2 if dims > 1 else 4)) for k, d in zip(kernel, dilation, strict=True)
    )
    x = values((draw(st.integers(1, 2)), inputs, *size), draw(st.sampled_from(SIGNS)), g)
    bias = values((outputs,), "signed", g) if draw(st.booleans()) else None
    if transposed:
        function, weight = TRANSPOSED[dims], values((inputs, outputs // groups, *kernel), "signed", g)
        extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
        rest: tuple[Any, ...] = (stride, padding, extra, groups, dilation)
    else:
        function, weight = CONVOLUTIONS[dims], values((outputs, inputs // groups, *kernel), "signed", g)
        rest = (stride, padding, dilation, groups)
    return Case(
        lambda v: function(v, weight, bias, *rest),
        lambda v, w: function(v, w, None, *rest),
        weight,
        spatial(bias, dims),
        x,
    )


@EVERY_RULE
@settings(max_examples=12)
@given(
    batch=st.sampled_from([(1,), (3,), (2, 2)]),
    inputs=st.integers(1, 6),
    outputs=st.integers(1, 5),
    signs=st.sampled_from(SIGNS),
    with_bias=st.booleans(),
    as_relevance=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_linear(name: str, as_relevance: bool, **options: Any) -> None:
    check(linear_case(**options), name, as_relevance)


@EVERY_RULE
@pytest.mark.parametrize("transposed", [False, True], ids=["plain", "transposed"])
@pytest.mark.parametrize("dims", [1, 2, 3])
@settings(max_examples=6)
@given(data=st.data(), as_relevance=st.booleans())
def test_convolution(dims: int, transposed: bool, name: str, data: Any, as_relevance: bool) -> None:
    check(data.draw(convolution_cases(dims, transposed)), name, as_relevance)


@MODES
@EVERY_RULE
@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_convolution_of_same_size(kernel: int, name: str, as_relevance: bool) -> None:
    # With an even kernel one more zero is padded on the right; a padded zero is no input.
    g = torch.Generator().manual_seed(kernel)
    weight, bias, x = (values(s, "signed", g) for s in ((2, 2, kernel), (2,), (2, 2, 7)))
    case = Case(
        lambda v: F.conv1d(v, weight, bias, padding="same", dilation=1),
        lambda v, w: F.conv1d(v, w, padding="same"),
        weight,
        spatial(bias, 1),
        x,
    )
    check(case, name, as_relevance)


@MODES
@EVERY_RULE
@pytest.mark.parametrize("padding_mode", ["circular", "reflect", "replicate"])
def test_convolution_with_other_padding(padding_mode: str, name: str, as_relevance: bool) -> None:
    g = torch.Generator().manual_seed(2)
    conv = torch.nn.Conv1d(2, 3, 3, padding=2, dilation=1, padding_mode=padding_mode, dtype=torch.float64)
    weight, bias, x = values((3, 2, 3), "signed", g), values((3,), "signed", g), values((2, 2, 6), "signed", g)
    conv.weight.data, conv.bias.data = weight, bias
    conv.eval()
    case = Case(
        conv,
        F.conv1d,
        weight,
        spatial(bias, 1),
        x,
        before=lambda v: F.pad(v, (2, 2), mode=padding_mode),
    )
    check(case, name, as_relevance)


@EVERY_RULE
def test_unbatched_convolution(name: str) -> None:
    # Each channel counts as a sample here: (channel, time) is what the function gets.
    g = torch.Generator().manual_seed(4)
    weight, bias, x = values((2, 2, 3), "signed", g), values((2,), "signed", g), values((2, 6), "signed", g)
    composite = signalrp.Composite(RULES[name])
    if name in ("pass", "z box per element"):
        pytest.skip("needs a sum of the same shape, or bounds that fit")
    found = signalrp.attribute(lambda v: F.conv1d(v, weight, bias), x, lambda y: y.sum(1), composite)
    batch = signalrp.attribute(lambda v: F.conv1d(v, weight, bias), x[None], lambda y: y.sum((1, 2)), composite)
    torch.testing.assert_close(found.relevance, batch.relevance[0], rtol=1e-12, atol=1e-12)


@MODES
@EVERY_RULE
@pytest.mark.parametrize("side", ["first", "second"])
@pytest.mark.parametrize("signs", ["positive", "signed"])
def test_bilinear_with_a_constant(side: str, signs: str, name: str, as_relevance: bool) -> None:
    g = torch.Generator().manual_seed(9)
    weight, bias = values((4, 3, 3), "signed", g), values((4,), "signed", g)
    x, constant = values((2, 3), "signed", g), values((2, 3), signs, g)

    def form(v: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        return F.bilinear(v, constant, w, b) if side == "first" else F.bilinear(constant, v, w, b)

    def entering(v: Tensor, _: Tensor) -> Tensor:
        return v.sum(1, keepdim=True).expand(-1, 4)

    check(Case(lambda v: form(v, weight, bias), form, weight, bias, x, entering=entering), name, as_relevance)


PRODUCTS = {
    "x @ w": ((2, 4, 3), (3, 5), torch.matmul, True),
    "w @ x": ((2, 3, 4), (5, 3), torch.matmul, False),
    "batched x @ w": ((2, 4, 3), (2, 3, 5), torch.bmm, True),
    "batched w @ x": ((2, 4, 3), (2, 5, 4), torch.bmm, False),
    "mm": ((4, 3), (3, 2), torch.mm, True),
    "mv": ((4, 3), (3,), torch.mv, True),
    "inner": ((4, 3), (5, 3), torch.inner, True),
    "einsum bct,ck->bkt": ((2, 3, 4), (3, 5), lambda a, b: torch.einsum("bct,ck->bkt", a, b), True),
    "einsum ck,bct->bkt": ((2, 3, 4), (3, 5), lambda a, b: torch.einsum("ck,bct->bkt", a, b), False),
}


@MODES
@EVERY_RULE
@pytest.mark.parametrize("product", PRODUCTS)
def test_matrix_product_with_a_constant(product: str, name: str, as_relevance: bool) -> None:
    shape, weight_shape, function, first = PRODUCTS[product]
    g = torch.Generator().manual_seed(3)
    weight, x = values(weight_shape, "signed", g), values(shape, "signed", g)

    def plain(v: Tensor, w: Tensor) -> Tensor:
        return function(v, w) if first else function(w, v)

    check(Case(lambda v: plain(v, weight), plain, weight, None, x), name, as_relevance)


@MODES
@EVERY_RULE
@pytest.mark.parametrize("form", ["addmm", "addmm scaled", "baddbmm"])
def test_matrix_product_with_a_bias(form: str, name: str, as_relevance: bool) -> None:
    # The same sum as a dense layer's, so that the bias takes part in the rule.
    g = torch.Generator().manual_seed(6)
    weight, bias, x = values((3, 4), "signed", g), values((4,), "signed", g), values((2, 3), "signed", g)
    if form == "addmm":
        case = Case(lambda v: torch.addmm(bias, v, weight), torch.mm, weight, bias, x)
    elif form == "addmm scaled":
        case = Case(lambda v: torch.addmm(bias, v, weight, beta=0.5, alpha=2), torch.mm, 2 * weight, 0.5 * bias, x)
        case.plain = lambda v, w: torch.mm(v, w)
    else:
        x, weight = values((2, 2, 3), "signed", g), values((2, 3, 4), "signed", g)
        case = Case(lambda v: torch.baddbmm(bias.expand(2, 2, 4), v, weight), torch.bmm, weight, bias, x)
    check(case, name, as_relevance)


def norm(channels: int, g: torch.Generator) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
    """Return the arguments of a batch norm, and its scale and shift."""
    mean, weight, bias = (values((channels,), "signed", g) for _ in range(3))
    var = values((channels,), "positive", g) + 0.2
    scale = weight / torch.sqrt(var + 1e-5)
    return (mean, var, weight, bias), scale, bias - mean * scale


FORMS = {
    "linear": (F.linear, (3, 4), (2, 4), 4, 3, {}),
    "conv1d": (F.conv1d, (3, 4, 3), (2, 4, 6), 4, 3, {"padding": 2}),
    "conv1d stride": (F.conv1d, (3, 4, 3), (2, 4, 7), 4, 3, {"stride": 2, "padding": 1}),
    "conv1d same even": (F.conv1d, (3, 4, 4), (2, 4, 7), 4, 3, {"padding": "same"}),
    "conv1d grouped": (F.conv1d, (6, 2, 3), (2, 4, 5), 4, 6, {"groups": 2, "padding": 1}),
    "conv1d depthwise": (F.conv1d, (8, 1, 3), (1, 4, 5), 4, 8, {"groups": 4, "dilation": 2, "padding": 2}),
    "conv2d": (F.conv2d, (3, 2, 2, 2), (1, 2, 4, 3), 2, 3, {"padding": 1}),
    "conv3d": (F.conv3d, (2, 2, 2, 1, 2), (1, 2, 3, 2, 2), 2, 2, {"padding": (1, 0, 1)}),
    "transposed 1d": (F.conv_transpose1d, (4, 3, 3), (2, 4, 4), 4, 3, {"stride": 2, "padding": 1}),
    "transposed grouped": (
        F.conv_transpose1d,
        (4, 3, 3),
        (2, 4, 4),
        4,
        6,
        {"groups": 2, "output_padding": 1, "stride": 2},
    ),
    "transposed 2d": (F.conv_transpose2d, (2, 2, 2, 2), (1, 2, 3, 3), 2, 2, {"stride": 2}),
}


@MODES
@EVERY_RULE
@pytest.mark.parametrize("place", ["after", "before", "both", "after twice"])
@pytest.mark.parametrize("form", FORMS)
def test_merged_batch_norm(form: str, place: str, name: str, as_relevance: bool) -> None:
    function, weight_shape, shape, inputs, outputs, options = FORMS[form]
    g = torch.Generator().manual_seed(8)
    weight, bias, x = values(weight_shape, "signed", g), values((outputs,), "signed", g), values(shape, "signed", g)
    dims = len(shape) - 2
    before, after, again = norm(inputs, g), norm(outputs, g), norm(outputs, g)

    def call(v: Tensor) -> Tensor:
        if place in ("before", "both"):
            v = F.batch_norm(v, *before[0])
        v = function(v, weight, bias, **options)
        if place != "before":
            v = F.batch_norm(v, *after[0])
        return F.batch_norm(v, *again[0]) if place == "after twice" else v

    def plain(v: Tensor, w: Tensor) -> Tensor:
        if place in ("before", "both"):
            v = v * spatial(before[1], dims)
        v = function(v, w, **options)
        if place != "before":
            v = v * spatial(after[1], dims)
        return v * spatial(again[1], dims) if place == "after twice" else v

    merged_bias = call(torch.zeros_like(x))
    case = Case(call, plain, weight, merged_bias, x, entering=lambda v, w: function(v, w, **options))
    check(case, name, as_relevance)


@pytest.mark.parametrize("name", ["gamma", "z plus", "alpha2 beta1", "epsilon"])
@pytest.mark.parametrize("signs", SIGNS)
def test_sum_read_by_a_relu_and_otherwise(name: str, signs: str) -> None:
    # Relevance arrives at negative outputs as well, by the way round the ReLU.
    g = torch.Generator().manual_seed(1)
    weight, bias, x = values((5, 4), "signed", g), values((5,), "signed", g), values((3, 4), signs, g)
    case = Case(lambda v: F.linear(v, weight, bias), F.linear, weight, bias, x)
    ways = {
        "beside": lambda z: (torch.relu(z), z)[1],
        "before": lambda z: (z + 0, torch.relu(z))[0],
        "view": lambda z: (z.view(-1, 5), torch.relu(z))[0],
        "overwritten after a negation": lambda z: -torch.cat([-z, torch.relu_(z)], 1)[:, :5],
        "overwritten after a copy": lambda z: (z.clone(), torch.relu_(z))[0],
    }
    plain = case.call
    for way, read in ways.items():
        case.call = lambda v, read=read: read(plain(v))
        difference = compare(case, RULES[name], as_relevance=False)
        assert difference <= TOLERANCE, f"{way}: differs by {difference:.3g} of the scale"


def test_bounds_that_do_not_fit_are_refused() -> None:
    weight = torch.ones(2, 3)
    with pytest.raises(ValueError, match="does not fit"):
        signalrp.attribute(lambda v: F.linear(v, weight), torch.ones(2, 3), 0, signalrp.ZBox(torch.zeros(4), 1.0))
    with pytest.raises(ValueError, match="low <= high"):
        signalrp.ZBox(1.0, 0.0)


def test_wrong_parameters_are_refused() -> None:
    for make, message in (
        (lambda: signalrp.Epsilon(-1.0), "negative"),
        (lambda: signalrp.Gamma(-0.1), "negative"),
        (lambda: signalrp.AlphaBeta(2, 2), "must be 1"),
        (lambda: signalrp.AlphaBeta(0, -1), "must not be negative"),
        (lambda: signalrp.Epsilon(bias="keep"), "bias must be"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_pass_needs_the_same_shape() -> None:
    weight = torch.ones(2, 3)
    with pytest.raises(ValueError, match="same shape"):
        signalrp.attribute(lambda v: F.linear(v, weight), torch.ones(2, 3), 0, signalrp.Pass())


@pytest.mark.parametrize("name", ["gamma", "z plus", "alpha2 beta1", "epsilon"])
@pytest.mark.parametrize("read", ["aside", "in a view", "in the target"])
def test_sum_that_is_itself_explained_beside_a_relu(name: str, read: str) -> None:
    # The output is explained where it is negative; a ReLU that reads it too must not make the rule think otherwise.
    g = torch.Generator().manual_seed(3)
    weight, x = -values((5, 4), "signed", g), values((6, 4), "positive", g)

    def model(v: Tensor) -> Tensor:
        out = F.linear(v, weight)
        if read != "in the target":
            torch.relu(out[:] if read == "in a view" else out)
        return out

    def target(out: Tensor) -> Tensor:
        torch.relu(out)
        return out.unbind(1)[2]

    assert float(F.linear(x, weight)[:, 2].min()) < 0
    expected = signalrp.attribute(lambda v: F.linear(v, weight), x, 2, RULES[name]).relevance
    found = signalrp.attribute(model, x, target if read == "in the target" else 2, RULES[name]).relevance
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)

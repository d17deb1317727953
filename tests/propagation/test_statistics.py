"""Statistics, products of many, complex numbers and odd numbers, each against a slow reference of its own."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference import operation_cases as table
from reference import statistic_cases as statistics
from reference.cases import RULES
from reference.probe import EXACT, MODES, assert_closed, explain, gradient_times_input, signal, weights
from torch import Tensor

import signalrp
from signalrp import Composite, Epsilon

SAME = {"rtol": 1e-9, "atol": 1e-12}


def coefficients(*shape: int) -> Tensor:
    """Return relevance per unit of what `explain` is given, in its shape."""
    return weights(math.prod(shape))[1].reshape(shape)


def with_zeros(x: Tensor, *places: int) -> Tensor:
    return x.index_fill(-1, torch.tensor(places, dtype=torch.int64), 0.0)


# -- products of many ----------------------------------------


@pytest.mark.parametrize("zeros", [(), (2,), (1, 4)])
def test_a_product_is_shared_equally(zeros: tuple[int, ...]) -> None:
    x = with_zeros(signal(), *zeros)
    relevance = coefficients(2, 4) * x.prod(-1)
    found = explain(lambda v: v.prod(-1), x).relevance
    torch.testing.assert_close(found, relevance[..., None].expand(2, 4, 6) / 6, **SAME)


@pytest.mark.parametrize("zeros", [(), (2,), (1, 4)])
def test_a_cumulative_product_is_shared_among_its_factors(zeros: tuple[int, ...]) -> None:
    x = with_zeros(signal(), *zeros)
    relevance = coefficients(2, 4, 6) * x.cumprod(-1)
    expected = torch.zeros_like(x)
    for k in range(6):
        for i in range(k + 1):
            expected[..., i] += relevance[..., k] / (k + 1)
    found = explain(lambda v: v.cumprod(-1), x, audit=True)
    torch.testing.assert_close(found.relevance, expected, **SAME)
    assert_closed(found, found.relevance)


def test_gates_get_nothing_in_a_product_of_three() -> None:
    x = signal()
    gated = explain(lambda v: torch.einsum("bct,bct,bct->bct", v, torch.sigmoid(v.flip(-1)), torch.sigmoid(v)), x)
    expected = coefficients(2, 4, 6) * x * torch.sigmoid(x.flip(-1)) * torch.sigmoid(x)
    torch.testing.assert_close(gated.relevance, expected, **SAME)


@pytest.mark.parametrize("name", RULES)
def test_constants_of_an_einsum_are_one_weight_to_the_rule(name: str) -> None:
    x, rule = signal(), RULES[name]
    if name in ("pass", "z box per element"):
        return
    several = explain(lambda v: torch.einsum("bct,tk,k->bck", v, table.KERNEL, table.ROW), x, rule)
    one = explain(lambda v: F.linear(v, (table.KERNEL * table.ROW).T), x, rule)
    torch.testing.assert_close(several.relevance, one.relevance, **SAME)


# -- smooth maxima ----------------------------------------


def smooth_maximum(values: list[float], c: float) -> tuple[list[float], float]:
    """Return the relevance of each value, and what the entropy takes."""
    top = max(values)
    total = sum(math.exp(v - top) for v in values)
    p = [math.exp(v - top) / total for v in values]
    return [c * q * v for q, v in zip(p, values, strict=True)], -c * sum(q * math.log(q) for q in p if q)


def test_a_smooth_maximum_counts_by_its_weights() -> None:
    x, c = signal(), coefficients(2, 4)
    found = explain(lambda v: v.logsumexp(-1), x, audit=True)
    expected, entropy = torch.zeros_like(x), 0.0
    for b in range(2):
        for channel in range(4):
            shares, kept = smooth_maximum(x[b, channel].tolist(), float(c[b, channel]))
            expected[b, channel] = torch.tensor(shares, dtype=x.dtype)
            entropy += kept
    torch.testing.assert_close(found.relevance, expected, **SAME)
    assert math.isclose(float(found.ledger["constant"].sum()), entropy, rel_tol=1e-9)


def test_the_smooth_maximum_so_far() -> None:
    x, c = signal(), coefficients(2, 4, 6)
    found = explain(lambda v: v.logcumsumexp(-1), x, audit=True)
    expected, entropy = torch.zeros_like(x), 0.0
    for b in range(2):
        for channel in range(4):
            for t in range(6):
                shares, kept = smooth_maximum(x[b, channel, : t + 1].tolist(), float(c[b, channel, t]))
                expected[b, channel, : t + 1] += torch.tensor(shares, dtype=x.dtype)
                entropy += kept
    torch.testing.assert_close(found.relevance, expected, **SAME)
    assert math.isclose(float(found.ledger["constant"].sum()), entropy, rel_tol=1e-9)


# -- statistics that divide are constants ----------------------------------------


def cosine(x: Tensor) -> Tensor:
    a, b = x[:, :2], x[:, 2:].flip(-1)
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1)).detach()


def correlation(x: Tensor) -> Tensor:
    centred = x[0] - x[0].mean(1, keepdim=True)
    deviation = centred.detach().norm(dim=1)
    return centred @ centred.T / deviation[:, None] / deviation


def standardised(x: Tensor) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True).detach() + 1e-3)


def renormed(x: Tensor) -> Tensor:
    size = x.detach().square().sum((0, 2), keepdim=True).sqrt()
    return x * torch.where(size > 1, 1 / (size + 1e-7), 1)


DIVIDED: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], int]] = {
    "cosine similarity": (statistics.OTHERS["cosine_similarity"], cosine, 2),
    "correlation": (statistics.OTHERS["corrcoef"], correlation, 2),
    "standardised": (
        lambda x: (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-3),
        standardised,
        1,
    ),
    "renorm": (statistics.OTHERS["renorm"], renormed, 1),
    "normalize": (table.OTHERS["normalize"], lambda x: x / x.norm(dim=-1, keepdim=True).detach(), 1),
}


@pytest.mark.parametrize("name", DIVIDED)
def test_what_divides_is_a_constant(name: str) -> None:
    function, with_constants, degree = DIVIDED[name]
    x = signal()
    torch.testing.assert_close(function(x), with_constants(x))
    torch.testing.assert_close(explain(function, x).relevance, gradient_times_input(with_constants, x) / degree, **SAME)


@pytest.mark.parametrize("mode", MODES)
def test_distances_to_constants_leave_these_their_share(mode: str) -> None:
    x, points = signal(), statistics.POINTS
    found = explain(lambda v: torch.cdist(v, points), x, MODES[mode], audit=True)
    assert_closed(found, found.relevance)
    if mode != "as per unit":
        return
    c, expected, constant = coefficients(2, 4, 3), torch.zeros_like(x), 0.0
    for b in range(2):
        for i in range(4):
            for j in range(3):
                gap = x[b, i] - points[j]
                unit = c[b, i, j] * gap / gap.norm()
                expected[b, i] += unit * x[b, i]
                constant -= float(unit @ points[j])
    torch.testing.assert_close(found.relevance, expected, **SAME)
    assert math.isclose(float(found.ledger["constant"].sum()), constant, rel_tol=1e-9)


def test_the_greatest_of_a_group_takes_all() -> None:
    x, zeros = signal(), torch.zeros(2, 4, 6, dtype=torch.int64)
    found = explain(lambda v: table.K.scatter_reduce(1, zeros, v, "amax"), x, audit=True)
    c, expected = coefficients(2, 4, 6), torch.zeros_like(x)
    for b in range(2):
        for t in range(6):
            best = int(x[b, :, t].argmax())
            if float(x[b, best, t]) > float(table.K[b, 0, t]):
                expected[b, best, t] = c[b, 0, t] * x[b, best, t]
    torch.testing.assert_close(found.relevance, expected, **SAME)


def test_unpooling_of_overlapping_windows_counts_every_place_once() -> None:
    x = signal()

    def function(v: Tensor) -> Tensor:
        return F.max_unpool1d(*F.max_pool1d(v, 3, 1, return_indices=True), 3, 1)

    out, c = function(x), coefficients(2, 4, 6)
    torch.testing.assert_close(explain(function, x).relevance, c * out, **SAME)


def test_eigenvalues_are_linear_in_the_matrix_seen_from_their_vectors() -> None:
    matrix = statistics.symmetric(signal())[:1]
    values, vectors = torch.linalg.eigh(matrix)
    c = coefficients(1, 4)
    expected = torch.einsum("bk,bik,bjk->bij", c, vectors, vectors) * matrix
    for function in (torch.linalg.eigvalsh, torch.linalg.svdvals, lambda m: torch.linalg.eigh(m)[0]):
        found = explain(function, matrix).relevance
        order = torch.argsort(function(matrix), 1)
        if not torch.equal(function(matrix).gather(1, order), function(matrix)):
            part = torch.einsum("bk,bik,bjk->bij", c.flip(1), vectors, vectors) * matrix
        else:
            part = expected
        # One half of the matrix may stand for both.
        torch.testing.assert_close(found + found.mT, part + part.mT, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(values, torch.linalg.eigvalsh(matrix))


def test_norms_whose_weights_depend_on_the_signal_share_as_products_do() -> None:
    x, scale = signal(), signal(seed=3)[0, 0]
    top = coefficients(2, 4, 6)

    def model(x: Tensor, scale: Tensor) -> Tensor:
        return (F.layer_norm(x, (6,), scale[0]) * top).sum().reshape(1)

    found = signalrp.attribute(model, (x, scale[None]), composite=EXACT)
    contributions = top * F.layer_norm(x, (6,)) * scale / 2
    torch.testing.assert_close(found.relevance[1][0], contributions.sum((0, 1)), **SAME)
    torch.testing.assert_close(found.relevance[0].sum(), contributions.sum(), **SAME)


# -- complex numbers ----------------------------------------


def test_a_magnitude_spectrum_against_the_transform_written_out() -> None:
    x, c = signal(), coefficients(2, 4, 4)
    expected = torch.zeros_like(x)
    for b in range(2):
        for channel in range(4):
            row = x[b, channel].tolist()
            for k in range(4):
                terms = [v * cmath.exp(-2j * cmath.pi * k * n / 6) for n, v in enumerate(row)]
                z = sum(terms)
                for n, term in enumerate(terms):
                    expected[b, channel, n] += float(c[b, channel, k]) * (z.conjugate() * term).real / abs(z)
    found = explain(lambda v: torch.fft.rfft(v).abs(), x)
    torch.testing.assert_close(found.relevance, expected, **SAME)


@pytest.mark.parametrize("name", ["exp", "tanh", "log", "sqrt", "sin", "cos"])
def test_complex_functions_by_the_slope_from_the_origin(name: str) -> None:
    x = signal()
    function, plain = getattr(torch, name), getattr(cmath, name)
    found = explain(lambda v: statistics.parts(function(table.as_complex(v))), x).relevance
    c, z = torch.view_as_complex(coefficients(2, 4, 3, 2)), table.as_complex(x)
    start = 0 if name == "log" else plain(0)
    for place in [(b, i, t) for b in range(2) for i in range(4) for t in range(3)]:
        rise = plain(complex(z[place])) - start
        expected = (complex(c[place]).conjugate() * rise).real
        pair = found.reshape(2, 4, 3, 2)[place]
        assert math.isclose(float(pair.sum()), expected, rel_tol=1e-9, abs_tol=1e-12)


def test_a_phase_is_cut_and_its_magnitude_takes_all() -> None:
    x = signal()
    found = explain(lambda v: torch.polar(table.as_complex(v).abs(), table.as_complex(v).angle()).real, x, audit=True)
    expected = coefficients(2, 4, 3) * table.as_complex(x).real
    torch.testing.assert_close(found.relevance.reshape(2, 4, 3, 2).sum(-1), expected, **SAME)
    alone = explain(lambda v: table.as_complex(v).angle() + v[..., :3], x, audit=True)
    cut = coefficients(2, 4, 3) * table.as_complex(x).angle()
    assert math.isclose(float(alone.ledger["cut"].sum()), float(cut.sum()), rel_tol=1e-9)


def test_a_magnitude_of_either_sign_hands_on_what_it_brought() -> None:
    x = signal()
    found = explain(lambda v: torch.polar(v, table.K).real, x).relevance
    torch.testing.assert_close(found, coefficients(2, 4, 6) * x * table.K.cos(), **SAME)


# -- clamps and thresholds ----------------------------------------


def test_a_greater_constant_is_a_clamp_by_whatever_name() -> None:
    x, bound = signal(), 0.3
    forms: list[Callable[[Tensor], Tensor]] = [
        lambda v: v.clamp(min=bound),
        lambda v: v.clamp_min(torch.tensor(bound, dtype=v.dtype)),
        lambda v: torch.maximum(v, torch.tensor(bound, dtype=v.dtype)),
        lambda v: torch.maximum(torch.full_like(v, bound), v),
        lambda v: torch.max(v, torch.full((1,), bound, dtype=v.dtype)),
        lambda v: v.clamp(torch.full((6,), bound, dtype=v.dtype)),
        lambda v: torch.fmax(v, torch.full_like(v, bound)),
    ]
    expected = coefficients(2, 4, 6) * (x.clamp(min=bound) - bound)
    for form in forms:
        torch.testing.assert_close(explain(form, x).relevance, expected, **SAME)


def test_a_bound_of_the_signal_itself_takes_what_it_bounds() -> None:
    x, c = signal(), coefficients(2, 4, 6)
    expected = torch.zeros_like(x)
    for b in range(2):
        top = x[b].argmax()
        for i in range(4):
            for t in range(6):
                if float(x[b, i, t]) >= float(x[b].max()) - 1.0:
                    expected[b, i, t] += c[b, i, t] * x[b, i, t]
                else:
                    expected[b].view(-1)[top] += c[b, i, t] * x[b].max()
    for form in (
        lambda v: torch.maximum(v, v.amax((1, 2), keepdim=True) - 1.0),
        lambda v: v.clamp(min=v.amax((1, 2), keepdim=True) - 1.0),
    ):
        torch.testing.assert_close(explain(form, x).relevance, expected, **SAME)


def test_in_place_arithmetic_on_views() -> None:
    def change(v: Tensor) -> Tensor:
        y = v * 1.0
        y[:, 0] += y[:, 1]
        y[:, :, 1:].mul_(2)
        y[0, 2:].div_(table.ROW)
        y[:, 3].floor_()
        return y

    x = signal()
    found = explain(change, x, audit=True)
    y, c = change(x), coefficients(2, 4, 6)
    kept = c * y
    kept[:, 3] = 0
    torch.testing.assert_close(found.relevance.sum(), kept.sum(), **SAME)
    assert_closed(found, found.relevance)


# -- odd numbers ----------------------------------------

ODD = {
    "zeros": 0.0,
    "denormal": 5e-324,
    "tiny": 1e-300,
    "huge": 1e100,
    "mixed": None,
}
FUNCTIONS = {**table.HOMOGENEOUS, **table.OTHERS, **table.POINTWISE, **statistics.HOMOGENEOUS, **statistics.OTHERS,
             **{name: function for name, (function, _) in statistics.DEGREES.items()}}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_odd_numbers_give_no_nan(kind: str) -> None:
    x = signal() * (ODD[kind] if ODD[kind] is not None else 1.0)
    if ODD[kind] is None:
        x[0, 0] = 0
        x[1, :, 2] = 5e-324
        x[:, 2] *= 1e30
    wrong = []
    for name, function in FUNCTIONS.items():
        try:
            out = function(x)
        except torch.linalg.LinAlgError:
            continue
        if torch.isfinite(out).all() and out.abs().max() < 1e150:
            found = explain(function, x).relevance
            if torch.isnan(found).any():
                wrong.append(name)
    assert not wrong, f"NaN from {', '.join(wrong)}"


def test_what_is_masked_afterwards_gives_no_nan() -> None:
    x = with_zeros(signal(), 1, 3)
    for function in (
        lambda v: torch.where(v > 0, v.log(), 0),
        lambda v: torch.where(v != 0, 1 / v, 0),
        lambda v: (v / v.abs()).nan_to_num(),
        lambda v: v.sqrt().nan_to_num(),
        lambda v: (v - 1).log().nan_to_num(nan=0.0, neginf=-3.0),
    ):
        assert torch.isfinite(explain(function, x).relevance).all()


@pytest.mark.parametrize(
    "name", ["sigmoid", "exp", "cos", "softplus", "gelu", "log_softmax", "stft", "logsumexp", "std"]
)
def test_single_precision_agrees(name: str) -> None:
    function = {**FUNCTIONS, "log_softmax": lambda v: v.log_softmax(-1)}[name]
    x = signal()

    def model(v: Tensor) -> Tensor:
        return function(v.to(x.dtype) if name == "stft" else v).reshape(1, -1).sum(1)

    double: Any = signalrp.attribute(model, x, composite=EXACT).relevance
    single: Any = signalrp.attribute(model, x.float(), composite=Composite(Epsilon(0.0))).relevance
    scale = float(double.abs().max())
    assert float((single.double() - double).abs().max()) <= 1e-4 * scale

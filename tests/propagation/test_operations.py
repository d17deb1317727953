"""Every torch function that the engine handles: its relevance, and what its step books."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference import operation_cases as table
from reference import statistic_cases as statistics
from reference.exported_cases import COPIES, EXPORTED
from reference.probe import EXACT, MODES, TOLERANCE, assert_closed, explain, gradient_times_input, signal, weights
from torch import Tensor, nn

import signalrp
from signalrp import Composite, Epsilon, Flat, UnsupportedOperation
from signalrp.propagation.registry import HANDLERS

GRADIENT_CASES = {
    **table.MOVES, **table.HOMOGENEOUS, **table.SUMS, **statistics.HOMOGENEOUS, **COPIES,
}  # fmt: skip
LEDGER_CASES = {
    **GRADIENT_CASES, **table.OTHERS, **table.POINTWISE, **table.POSITIVE, **table.BELOW_ONE, **table.ABOVE_ONE,
    **table.BETWEEN_0_AND_1, **table.CUT_IN_PLACE, **statistics.OTHERS,
    **{name: function for name, (function, _) in statistics.DEGREES.items()},
    **{f"exported {name}": function for name, (function, _) in EXPORTED.items()},
}  # fmt: skip
# Names that no public call of this version of torch arrives under: its operators arrive as add, sub, mul ...; some
# functions of torch.nn.functional are plain Python around others.
UNREACHED = {
    "__add__", "__radd__", "__sub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__", "__matmul__", "__pow__",
    "__neg__", "__pos__", "__iter__", "logsigmoid", "im2col", "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d_with_indices", "cuda", "cfloat", "chalf",
}  # fmt: skip
HERE = {name for name, handler in HANDLERS.items() if not handler.__module__.endswith(("attention", "recurrent"))}


@pytest.fixture
def met(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Names of the handlers that a test reaches."""
    names: set[str] = set()

    def recorded(name: str, handler: Any) -> Any:
        def handle(*args: Any, **kwargs: Any) -> Any:
            names.add(name)
            return handler(*args, **kwargs)

        return handle

    for name, handler in list(HANDLERS.items()):
        monkeypatch.setitem(HANDLERS, name, recorded(name, handler))
    return names


def test_every_handled_name_has_a_case(met: set[str]) -> None:
    for name, function in {**LEDGER_CASES, **REFUSED}.items():
        with contextlib.suppress(UnsupportedOperation):
            explain(function, signal(name))
    for convert in (Tensor.float, Tensor.half, Tensor.bfloat16):
        explain(lambda v, convert=convert: convert(v).double(), signal())
    test_embeddings_are_sources()
    missing = sorted(HERE - met - UNREACHED)
    assert not missing, f"no case for {missing}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", LEDGER_CASES)
def test_ledger_closes(name: str, mode: str) -> None:
    function, x = LEDGER_CASES[name], signal(name)
    plain = explain(function, x, MODES[mode])
    audited = explain(function, x, MODES[mode], audit=True)
    torch.testing.assert_close(audited.relevance, plain.relevance, rtol=1e-10, atol=1e-12)
    assert torch.isfinite(plain.relevance).all()
    assert_closed(audited, audited.relevance)


@pytest.mark.parametrize("name", GRADIENT_CASES)
def test_homogeneous_functions_give_gradient_times_input(name: str) -> None:
    function, x = GRADIENT_CASES[name], signal(name)
    torch.testing.assert_close(
        explain(function, x).relevance, gradient_times_input(function, x), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("name", statistics.DEGREES)
def test_functions_of_another_degree_give_gradient_times_input_over_it(name: str) -> None:
    (function, degree), x = statistics.DEGREES[name], signal(name)
    expected = gradient_times_input(function, x) / degree
    torch.testing.assert_close(explain(function, x).relevance, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", EXPORTED)
def test_operators_of_exported_programs_get_the_relevance_of_the_function(name: str) -> None:
    (operator, function), x = EXPORTED[name], signal(name)
    torch.testing.assert_close(operator(x), function(x))
    for composite in (*MODES.values(), signalrp.composite("epsilon-plus")):
        expected = explain(function, x, composite).relevance
        torch.testing.assert_close(explain(operator, x, composite).relevance, expected, rtol=1e-9, atol=1e-12)


# -- pointwise functions ----------------------------------------

EDGES = [0.0, -0.0, 1e-12, -1e-12, 1e-300, -1e-300, 5e-324, -5e-324, 1e-5, -1e-5, 0.3, -0.3, 2.5, -2.5, 30.0, -30.0]


@pytest.mark.parametrize("name", [*table.POINTWISE, *table.POSITIVE])
def test_pointwise_functions_give_the_slope_from_the_origin(name: str) -> None:
    function = LEDGER_CASES[name]
    values = [v for v in EDGES if v > 1e-13] if name in table.POSITIVE else EDGES
    x = torch.tensor(values, dtype=torch.float64)
    found = signalrp.attribute(function, x, composite=EXACT).relevance
    at_zero = float(function(torch.zeros((), dtype=torch.float64)))
    for value, relevance in zip(values, found.tolist(), strict=True):
        at_value = float(function(torch.tensor(value, dtype=torch.float64)))
        expected = at_value - at_zero if math.isfinite(at_zero) else at_value
        assert math.isclose(relevance, expected, rel_tol=1e-9, abs_tol=3e-15), f"{name}({value})"


@pytest.mark.parametrize("name", table.POINTWISE)
def test_pointwise_functions_are_finite_for_huge_inputs(name: str) -> None:
    x = torch.tensor([1e150, -1e150, 1e300, -1e300], dtype=torch.float64)
    out = LEDGER_CASES[name](x)
    x = x[torch.isfinite(out)]
    if len(x):
        assert torch.isfinite(signalrp.attribute(LEDGER_CASES[name], x, composite=EXACT).relevance).all()


@pytest.mark.parametrize("name", ["gelu", "silu", "tanh", "sigmoid", "exp", "cos", "softplus", "mish", "elu"])
def test_slope_at_zero_is_the_derivative(name: str) -> None:
    # Read through a layer below: its relevance per unit is the slope at exactly 0.
    function = table.POINTWISE[name]
    zero = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(function(zero), zero)
    x = torch.tensor([[2.0, 1.0]], dtype=torch.float64)
    weight = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    found = signalrp.attribute(lambda v: function(F.linear(v, weight))[:, 0], x, composite=EXACT)
    torch.testing.assert_close(found.relevance, slope * weight * x, rtol=1e-9, atol=1e-12)


# -- products ----------------------------------------


def pair() -> tuple[Tensor, Tensor]:
    return signal(seed=4)[:, 0], signal(seed=5)[:, 0]


def test_two_signals_share_their_product() -> None:
    a, b = pair()
    found = signalrp.attribute(lambda a, b: (a * b).sum(1), (a, b), composite=EXACT)
    torch.testing.assert_close(found.relevance[0], a * b / 2)
    torch.testing.assert_close(found.relevance[1], a * b / 2)


GATES = {"sigmoid": torch.sigmoid, "hardsigmoid": F.hardsigmoid, "softmax": lambda b: b.softmax(-1)}


@pytest.mark.parametrize("mode", ["per unit", "below flat"])
@pytest.mark.parametrize("way", ["plain", "view", "expanded", "in place", "gate first"])
@pytest.mark.parametrize("gate", GATES)
def test_a_gate_gets_nothing(gate: str, way: str, mode: str) -> None:
    a, b = pair()
    opened = GATES[gate]

    def model(a: Tensor, b: Tensor) -> Tensor:
        if way == "plain":
            product = a * opened(b)
        elif way == "view":
            product = a[..., None] * opened(b).unsqueeze(-1)
        elif way == "expanded":
            product = a[:, None].expand(2, 3, 6) * opened(b)[:, None].expand(2, 3, 6)
        elif way == "in place":
            product = (a * 1.0).mul_(opened(b))
        else:
            product = opened(b) * a
        return F.linear(product.flatten(1), torch.ones(1, product[0].numel(), dtype=torch.float64))

    composite = EXACT if mode == "per unit" else Composite(Epsilon(0.0)).where(Flat(), from_output=1)
    found = signalrp.attribute(model, (a, b), 0, composite)
    assert float(found.relevance[1].abs().max()) == 0.0
    torch.testing.assert_close(found.relevance[0].sum(1), found.explained)
    shared = signalrp.attribute(model, (a, b), 0, Composite(Epsilon(0.0), products="equal", attention="attnlrp"))
    assert float(shared.relevance[1].abs().max()) > 0.0


def test_a_divisor_gets_nothing() -> None:
    a, b = pair()
    top = torch.ones(1, 6, dtype=torch.float64)
    for composite in (EXACT, Composite(Epsilon(0.0)).where(Flat(), from_output=1)):
        found = signalrp.attribute(lambda a, b: F.linear(a / (b.abs() + 1), top), (a, b), 0, composite)
        assert float(found.relevance[1].abs().max()) == 0.0
        torch.testing.assert_close(found.relevance[0].sum(1), found.explained)


# -- norms ----------------------------------------


def centred(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    return (x - x.mean(dims, keepdim=True)) / torch.sqrt(x.var(dims, correction=0, keepdim=True).detach() + 1e-5)


def group_formula(x: Tensor, groups: int) -> Tensor:
    return centred(x.reshape(2, groups, -1), (2,)).reshape(x.shape)


NORMS = {
    "layer_norm": (table.OTHERS["layer_norm"], lambda x: centred(x, (2,)) * table.ROW),
    "layer_norm 2": (table.OTHERS["layer_norm of two dimensions"], lambda x: centred(x, (1, 2)) * table.K[0]),
    "group_norm": (table.OTHERS["group_norm"], lambda x: group_formula(x, 2) * table.ROW[:4, None]),
    "instance_norm": (table.OTHERS["instance_norm"], lambda x: centred(x, (2,)) * table.ROW[:4, None]),
    "rms_norm": (
        table.OTHERS["rms_norm"],
        lambda x: x / torch.sqrt(x.square().mean(2, keepdim=True).detach() + torch.finfo(x.dtype).eps) * table.ROW,
    ),
}


@pytest.mark.parametrize("name", NORMS)
def test_norms_with_the_variance_held_fixed(name: str) -> None:
    function, formula = NORMS[name]
    x = signal()
    leaf = x.clone().requires_grad_()
    out = formula(leaf).reshape(1, -1)
    (gradient,) = torch.autograd.grad(F.linear(out, weights(out.shape[1]))[0, 1], leaf)
    torch.testing.assert_close(explain(function, x).relevance, gradient * x, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_local_response_norm_against_a_loop(size: int) -> None:
    alpha, beta, k = 0.5, 0.75, 2.0
    x, c = signal()[:1, :, :2], weights(8)[1].reshape(1, 4, 2)
    out = F.local_response_norm(x, size, alpha, beta, k)
    expected = torch.zeros_like(x)
    a = alpha / size
    for t in range(x.shape[2]):
        for channel in range(4):
            window = [j for j in range(channel - size // 2, channel + (size - 1) // 2 + 1) if 0 <= j < 4]
            own = float(x[0, channel, t])
            energy = sum(float(x[0, j, t]) ** 2 for j in window)
            terms = {
                j: own * (k + a * own**2) ** -beta
                if j == channel
                else -2 * a * beta * own * float(x[0, j, t]) ** 2 * (k + a * energy) ** (-beta - 1)
                for j in window
            }
            relevance = float(c[0, channel, t] * out[0, channel, t])
            for j, term in terms.items():
                total = sum(terms.values())
                expected[0, j, t] += relevance * term / (total + math.copysign(1e-6, total))
    found = explain(lambda v: F.local_response_norm(v, size, alpha, beta, k), x)
    torch.testing.assert_close(found.relevance, expected, rtol=1e-9, atol=1e-12)


def test_softmax_as_the_composite_says() -> None:
    x = signal()

    def by(option: Any) -> Any:
        return explain(lambda v: v.softmax(-1), x, Composite(Epsilon(0.0), softmax=option), audit=True)

    p, c = x.softmax(-1), weights(48)[1].reshape(x.shape)
    taylor = p * (c - (p * c).sum(-1, keepdim=True)) * x
    torch.testing.assert_close(by("taylor").relevance, taylor, rtol=1e-10, atol=1e-12)
    u = x.log_softmax(-1) + math.log(6)
    statistic = c * x * torch.expm1(u) / u / 6
    torch.testing.assert_close(by("statistic").relevance, statistic, rtol=1e-10, atol=1e-12)
    for option in ("taylor", "statistic"):
        assert_closed(by(option), by(option).relevance)


def test_masked_softmax_gives_nothing_to_what_is_masked() -> None:
    x = signal()
    mask = table.MASK & (table.K < 1)
    for option in ("statistic", "taylor"):
        found = explain(
            lambda v: v.masked_fill(mask, -torch.inf).softmax(-1), x, Composite(Epsilon(0.0), softmax=option)
        )
        assert torch.isfinite(found.relevance).all()
        assert float(found.relevance[mask].abs().max()) == 0.0


# -- where relevance ends ----------------------------------------


def causes(function: Callable[..., Tensor], x: Any) -> dict[str, float]:
    result = signalrp.attribute(lambda *v: function(*v).flatten(1).sum(1), x, composite=EXACT, audit=True)
    relevance = sum(
        r.sum() for r in (result.relevance if isinstance(x, tuple) else [result.relevance]) if r is not None
    )
    assert abs(float(result.explained.sum() - relevance - result.absorbed.sum())) < TOLERANCE * 100
    return {cause: float(result.ledger[cause].sum()) for cause in ("constant", "cut", "source")}


def test_paths_that_the_model_cuts_are_booked_as_such() -> None:
    x = signal()

    def without_grad(v: Tensor) -> Tensor:
        with torch.no_grad():
            frozen = v * 2
        return v + frozen

    assert math.isclose(causes(lambda v: v + v.detach(), x)["cut"], float(x.sum()), rel_tol=1e-10)
    assert math.isclose(causes(without_grad, x)["cut"], float(2 * x.sum()), rel_tol=1e-10)
    assert math.isclose(causes(lambda v: torch.cat([v, v.detach()], 1), x)["cut"], float(x.sum()), rel_tol=1e-10)
    assert math.isclose(causes(lambda v: v + v.round(), x)["cut"], float(x.round().sum()), abs_tol=1e-10)
    assert math.isclose(causes(lambda v: v + table.K, x)["constant"], float(table.K.sum()), rel_tol=1e-10)


def test_embeddings_are_sources() -> None:
    tokens = torch.tensor([[0, 2, 1], [3, 3, 0]])
    for function in (F.embedding, lambda t, w: F.embedding_bag(t, w)[:, None]):
        booked = causes(lambda t, v, f=function: f(t, table.KERNEL) * 2 + v[:, :3], (tokens, signal()))
        expected = float((2 * function(tokens, table.KERNEL)).expand(2, 3, 6).sum())
        assert math.isclose(booked["source"], expected, rel_tol=1e-10)


def test_integers_made_floats_are_cut() -> None:
    steps = torch.tensor([[1, 2], [3, 4]])
    booked = causes(lambda s, v: s.double()[:, :, None] + v[:, :2], (steps, signal()))
    assert math.isclose(booked["cut"], 60.0)


# -- what is refused ----------------------------------------


@torch.jit.script
def scripted(x: Tensor) -> Tensor:
    return torch.tanh(x) * 2


class Named(nn.Module):
    """A model with the function in a module called ``block.0``."""

    def __init__(self, function: Callable[[Tensor], Tensor] | nn.Module, last: bool) -> None:
        super().__init__()

        class Inner(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return function(x)

        self.block = nn.Sequential(function if isinstance(function, nn.Module) else Inner())
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        out = self.block(x)
        out = out[0] if isinstance(out, tuple) else out
        return out.flatten(1) if self.last else out.flatten(1) * 2


@pytest.mark.parametrize("last", [False, True], ids=["inside", "last"])
def test_a_scripted_function_is_refused(last: bool) -> None:
    model: Any = Named(scripted, last).eval() if not last else (lambda x: scripted(x.flatten(1)))
    with pytest.raises(UnsupportedOperation):
        signalrp.attribute(model, signal(), 0, EXACT)


REFUSED = {
    "matrix_exp": lambda x: torch.matrix_exp(x[:, :, :4]),
    "linalg_det": lambda x: torch.linalg.det(x[:, :, :4]),
    "linalg_qr": lambda x: torch.linalg.qr(x)[0],
    "linalg_eigvals": lambda x: torch.linalg.eigvals(x[:, :, :4]).real,
    "lu": lambda x: x[:, :, :4].lu()[0],
    "logdet": lambda x: torch.logdet(x[:, :, :4] @ x[:, :, :4].mT),
    "unique": lambda x: x.unique(),
    "unique_consecutive": lambda x: x.unique_consecutive(),
    "histc": lambda x: torch.histc(x, 5),
    "mse_loss": lambda x: F.mse_loss(x, x * 2),
    "linalg_solve": lambda x: torch.linalg.solve(x[:, :, :4], table.K),
    "linalg_pinv": lambda x: torch.linalg.pinv(x @ x.mT, hermitian=True),
    "stft": lambda x: torch.stft(x[0], 6, window=x[1, 0], return_complex=True).abs(),
    "scatter_reduce": lambda x: x.scatter_reduce(1, torch.zeros(2, 2, 6).long(), table.K[:, :2], "prod"),
    "index_reduce": lambda x: x.index_reduce(1, torch.tensor([0, 0]), table.K[:, :2], "prod"),
    "scatter": lambda x: x.scatter(1, torch.zeros(2, 2, 6).long(), 2.0, reduce="multiply"),
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.5, True),
    "logsumexp": lambda x: torch.complex(x, x).logsumexp(-1).real,
    "gradient": lambda x: torch.gradient(x, spacing=(x[0, 0],), dim=2)[0],
    "prelu": lambda x: F.prelu(x, x[0, :, 0]),
    "igamma": lambda x: torch.igamma(x.abs(), x.abs() * 2),
    "batch_norm": lambda x: F.batch_norm(x, x[0, :, 0], x[0, :, 1].abs()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unknown_functions_are_refused_by_name_and_place(name: str) -> None:
    model = Named(REFUSED[name], last=False).eval()
    with pytest.raises(UnsupportedOperation, match=rf"{name}.*block\.0"):
        signalrp.attribute(model, signal(), 0, EXACT)


def test_unknown_functions_by_their_gradient_on_request() -> None:
    x = signal()[:, :, :4]
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(torch.matrix_exp(leaf).sum(), leaf)
    found = signalrp.attribute(lambda v: torch.matrix_exp(v).sum((1, 2)), x, composite=EXACT, unknown="gradient")
    torch.testing.assert_close(found.relevance, gradient * x, rtol=1e-10, atol=1e-12)


def test_writing_to_the_signal_without_grad_is_not_silent() -> None:
    # The way back does not know of it: what came out would not be what is explained.
    def model(x: Tensor) -> Tensor:
        y = x * 1.0
        with torch.no_grad():
            y.mul_(3)
        return y.sum((1, 2))

    try:
        found = signalrp.attribute(model, signal(), composite=EXACT, audit=True)
    except UnsupportedOperation:
        return
    torch.testing.assert_close(found.relevance.sum((1, 2)) + found.absorbed, found.explained)


def test_sampling_at_places_that_the_signal_says() -> None:
    # A spatial transformer: the places are a gate, the image is the signal; a result that does not add up is wrong.
    def model(x: Tensor) -> Tensor:
        image = x.reshape(2, 1, 4, 6)
        grid = torch.tanh(x[:, :, :4].reshape(2, 2, 4, 2))
        return F.grid_sample(image, grid, align_corners=False).flatten(1).sum(1)

    try:
        found = signalrp.attribute(model, signal(), composite=EXACT, audit=True)
    except UnsupportedOperation:
        return
    torch.testing.assert_close(found.relevance.sum((1, 2)) + found.absorbed, found.explained)

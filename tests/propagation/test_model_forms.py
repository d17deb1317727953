"""The same model in other forms: exported, compiled, checkpointed, changing itself as it runs."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference.checks import assert_accounted
from reference.networks import randomise
from torch import Tensor, nn
from torch.autograd import Function
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

import signalrp
from signalrp import UnsupportedOperation
from signalrp.propagation.registry import REGISTERED

TOLERANCE = 1e-9


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def same(found: Any, expected: Any, tolerance: float = TOLERANCE) -> None:
    """Compare relevance, relative to the largest."""
    assert float(expected.abs().max()) > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


def explain(model: Any, x: Any, composite: Any = "epsilon-plus", **options: Any) -> Any:
    return signalrp.attribute(model, x, 1, composite, **options)


# -- exported programs ----------------------------------------


class Wrapped(nn.Module):
    """A module, a way to call it, and a classifier of what it returns, averaged over time."""

    def __init__(self, module: nn.Module, width: int, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.module, self.call, self.head = module, call, nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.call(self.module, x))


class Attending(nn.Module):
    def __init__(self, logarithm: bool = False) -> None:
        super().__init__()
        self.parts, self.head, self.logarithm = nn.Linear(6, 18), nn.Linear(6, 3), logarithm

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.parts(x).chunk(3, -1)
        if self.logarithm:
            return F.log_softmax(self.head(((q @ k.mT).softmax(-1) @ v).mean(1)), -1)
        return self.head(F.scaled_dot_product_attention(q, k, v, is_causal=True).mean(1))


def convolutional(dims: int) -> nn.Module:
    conv, norm, pool = (getattr(nn, f"{part}{dims}d") for part in ("Conv", "BatchNorm", "AdaptiveAvgPool"))
    return nn.Sequential(
        conv(2, 4, 3, padding=1), norm(4), nn.ReLU(), conv(4, 4, 2, bias=False), norm(4), nn.GELU(), pool(1),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 3),
    )  # fmt: skip


def encoder() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), 1, enable_nested_tensor=False)


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv1d": (lambda: convolutional(1), (2, 2, 9)),
    "conv2d": (lambda: convolutional(2), (2, 2, 5, 5)),
    "conv3d": (lambda: convolutional(3), (2, 2, 4, 4, 4)),
    "norms": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 4, 3), nn.GroupNorm(2, 4), nn.InstanceNorm1d(4, affine=True), nn.MaxPool1d(2), nn.LayerNorm(3),
            nn.SiLU(), nn.Flatten(), nn.Linear(12, 3),
        ),
        (2, 2, 9),
    ),
    "encoder": (lambda: Wrapped(encoder(), 6, lambda m, x: m(x).mean(1)), (2, 5, 6)),
    "lstm": (
        lambda: Wrapped(nn.LSTM(6, 4, bidirectional=True, batch_first=True), 8, lambda m, x: m(x)[0].mean(1)),
        (2, 5, 6),
    ),
    # From a state of zeros the bias of the first reset gate would be a matter of taste: it stands alone beside a gate.
    "gru": (
        lambda: Wrapped(nn.GRU(6, 4, batch_first=True), 4, lambda m, x: m(x, x[:, 0, :4][None].contiguous())[0][:, -1]),
        (2, 5, 6),
    ),
    "heads": (
        lambda: Wrapped(nn.MultiheadAttention(6, 2, batch_first=True), 6, lambda m, x: m(x, x, x)[0].mean(1)),
        (2, 5, 6),
    ),
    "dot product": (Attending, (2, 5, 6)),
    "softmax": (lambda: Attending(logarithm=True), (2, 5, 6)),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_exported_programs(name: str) -> None:
    make, shape = MODELS[name]
    model, x = randomise(make()), normal(*shape)
    program = torch.export.export(model, (x,), strict=False)
    decomposed = program.run_decompositions()
    for name in ("epsilon-plus", "attnlrp"):
        # What is one sum in the model is a product and a sum there, stabilised differently.
        composite = signalrp.composite(name, epsilon=0.0)
        expected = explain(model, x, composite)
        for form in (program, program.module(), decomposed):
            found = explain(form, x, composite)
            same(found.relevance, expected.relevance)
            torch.testing.assert_close(found.output, expected.output, rtol=1e-9, atol=1e-9)
    assert_accounted(explain(decomposed, x, audit=True))


# -- compiled and scripted parts ----------------------------------------


def plain() -> nn.Sequential:
    net = nn.Sequential(
        OrderedDict(first=nn.Linear(4, 6), middle=nn.Sequential(nn.Tanh(), nn.Linear(6, 6)), last=nn.Linear(6, 3))
    )
    return randomise(net)


@pytest.mark.parametrize("form", ["model", "part", "in place", "function"])
def test_nothing_is_compiled(form: str) -> None:
    compiled: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    model, x = plain(), normal(2, 4)
    expected = explain(model, x).relevance
    changed: Any = model
    if form == "model":
        changed = torch.compile(model, backend=backend)
    elif form == "part":
        model.middle = torch.compile(model.middle, backend=backend)
    elif form == "in place":
        model.compile(backend=backend)
    else:
        changed = torch.compile(lambda x: model(x), backend=backend)
    same(explain(changed, x).relevance, expected)
    assert not compiled
    changed(x)
    if form != "in place":
        # Called otherwise it is compiled, and explained as before.
        assert compiled
        same(explain(changed, x).relevance, expected)


def test_scripted_models_are_refused_with_advice() -> None:
    model, x = plain(), normal(2, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted, traced, function = torch.jit.script(model), torch.jit.trace(model, x), torch.jit.script(F.softsign)
    for form in (scripted, traced, function):
        with pytest.raises(TypeError, match="the eager model it was made from"):
            explain(form, x)
    model.middle = scripted.middle
    with pytest.raises(TypeError, match="module 'middle' is a ScriptModule"):
        explain(model, x)
    with pytest.raises(UnsupportedOperation, match="scripted"):
        explain(lambda x: function(plain()(x)), x)


# -- checkpoints ----------------------------------------


class Checkpointed(nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.net = way, plain()

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "sequential":
            return checkpoint_sequential(self.net, 3, x, use_reentrant=False)
        if self.way == "sequential, reentrant":
            return checkpoint_sequential(self.net, 3, x, use_reentrant=True)
        inner = partial(checkpoint, self.net.middle, use_reentrant=self.way.startswith("reentrant"))
        if self.way == "nested":
            return checkpoint(lambda y: self.net.last(inner(self.net.first(y))), x, use_reentrant=False)
        return self.net.last(inner(self.net.first(x)))


WAYS = ["reentrant", "plain", "nested", "sequential", "sequential, reentrant"]


@pytest.mark.parametrize("way", WAYS)
def test_checkpoints(way: str) -> None:
    model, x = Checkpointed(way).eval(), normal(2, 4)
    same(explain(model, x, audit=True).relevance, explain(model.net, x).relevance)
    # As before for whoever trains: what is checkpointed is computed again.
    calls: list[int] = []
    model.net.middle.register_forward_pre_hook(lambda *_: calls.append(1))
    model(x.clone().requires_grad_()).sum().backward()
    assert len(calls) >= 2


# -- functions with a derivative of their own ----------------------------------------


class Swish(Function):
    """Keeps its input alone, as memory-efficient implementations do."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        gate = torch.sigmoid(ctx.saved_tensors[0])
        return grad * gate * (1 + ctx.saved_tensors[0] * (1 - gate))


class Reversal(Function):
    """Turns the gradient round; the forward pass is the identity."""

    @staticmethod
    def forward(x: Tensor, strength: float) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.strength = inputs[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return -ctx.strength * grad, None


class Doubled(Function):
    """Overwrites its input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        ctx.set_materialize_grads(False)
        return x.mul_(2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return 2 * grad


class Split(Function):
    """Returns several tensors, one of them of integers, and reads what it kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, x.relu())
        order = x.argsort(-1)
        ctx.mark_non_differentiable(order)
        assert ctx.needs_input_grad is not None
        return ctx.saved_tensors[1], order

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Any) -> Tensor:
        return grad


FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "swish": (Swish.apply, F.silu),
    "reversal": (lambda x: Reversal.apply(x, 0.3), lambda x: x),
    "in place": (lambda x: Doubled.apply(x.clone()), lambda x: 2 * x),
    "several outputs": (lambda x: Split.apply(x)[0], torch.relu),
    "one in another": (lambda x: Reversal.apply(Swish.apply(x), 1.0), F.silu),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_custom_functions_run_as_their_forward_pass(name: str) -> None:
    custom, known = FUNCTIONS[name]
    first, last = (randomise(nn.Linear(4, n), n) for n in (4, 3))
    x = normal(2, 4)
    found = explain(lambda x: last(custom(first(x))), x, audit=True)
    assert_accounted(found)
    same(found.relevance, explain(lambda x: last(known(first(x))), x).relevance)


def test_a_registered_custom_function_goes_by_its_rule() -> None:
    x, last = normal(2, 4), randomise(nn.Linear(4, 3))
    try:
        signalrp.register_operation(Swish, lambda c, output, inputs: [3 * c * output / inputs[0]])
        found = explain(lambda x: last(Swish.apply(x)), x, signalrp.Epsilon())
        same(found.relevance, 3 * explain(lambda x: last(F.silu(x)), x, signalrp.Epsilon()).relevance)
        signalrp.register_operation(Swish, "pointwise")
        found = explain(lambda x: last(Swish.apply(x)), x, signalrp.Epsilon(), audit=True)
        assert_accounted(found)
        same(found.relevance, explain(lambda x: last(F.silu(x)), x, signalrp.Epsilon()).relevance)
    finally:
        REGISTERED.pop(Swish)


# -- torch is left as it was ----------------------------------------


def patched() -> tuple[Any, ...]:
    return (
        Function.__dict__["apply"], Function.apply.__func__, tuple(vars(Function.__mro__[1])),
        torch.utils.checkpoint._checkpoint_without_reentrant_generator,
        torch.utils.checkpoint.CheckpointFunction, len(torch.overrides._get_current_function_mode_stack()),
        torch.is_grad_enabled(), torch._dynamo.eval_frame._stance.stance,
    )  # fmt: skip


def test_torch_is_as_before_even_after_a_failure() -> None:
    before, model = patched(), plain()

    def fails(x: Tensor) -> Tensor:
        checkpoint(Swish.apply, x, use_reentrant=False)
        raise KeyError("the model's own fault")

    for _ in range(2):
        with pytest.raises(KeyError):
            explain(lambda x: fails(model(x)), normal(2, 4))
        assert patched() == before
    explain(lambda x: Swish.apply(model(x)), normal(2, 4))
    assert patched() == before
    leaf = normal(2, 4).requires_grad_()
    Reversal.apply(leaf, 3.0).sum().backward()
    assert bool((leaf.grad == -3).all())


def test_two_threads_explain_at_once() -> None:
    before, x = patched(), normal(2, 4)
    models = [Checkpointed(way).eval() for way in WAYS]
    expected = [explain(model.net, x).relevance for model in models]
    found: dict[int, list[Any]] = {}

    def work(n: int) -> None:
        turn = models if n else models[::-1]
        found[n] = [explain(lambda x, m=m: Swish.apply(m(x)) + 0 * m(x), x).output for m in turn for _ in range(4)]
        found[n + 2] = [explain(m, x).relevance for m in turn]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert patched() == before
    for n in range(2):
        assert len(found[n]) == 4 * len(models)
        for one, other in zip(found[n + 2], expected if n else expected[::-1], strict=True):
            same(one, other)

"""Einstein sums and other products of several tensors, of which any may be signals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.operations.products import matrix_product
from signalrp.propagation.operations.weighted_sums import hang_sum
from signalrp.propagation.registry import handles
from signalrp.propagation.sums import General
from signalrp.propagation.tags import Call, tensors_in

ROOM = 4
"""A weight contracted from several constants may be so many times larger than all operands and the output."""


@handles("einsum")
def einsum(engine: Engine, call: Call, equation: Any, *operands: Any, **kwargs: Any) -> Any:
    """An Einstein sum of the signal with constants is a weighted sum in the signal."""
    if not isinstance(equation, str):
        equation, operands = _as_string((equation, *operands))
    elif "operands" in kwargs:
        operands = tuple(kwargs["operands"])
    elif len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    terms, result = _parsed(equation)
    places = [i for i, t in enumerate(operands) if any(t is x for x in call.tracked)]
    if len(places) > 1:
        return matrix_product(engine, call)
    constants = [i for i in range(len(operands)) if i not in places]
    x, out = operands[places[0]], call.value()
    if not constants or any(t.is_complex() for t in operands):
        return engine.local(call, spread="proportional")
    own, rest = terms[places[0]], [terms[i] for i in constants]
    if len(constants) == 1:
        weight, inner = operands[constants[0]], rest[0]
    else:
        inner = _indices([t for term in rest for t in _indices(term) if t in own or t in result])
        sizes = _sizes(terms, operands)
        size, room = 1, ROOM * (out.numel() + sum(t.numel() for t in operands))
        for index in inner:
            size *= sizes.get(index, 1)
        if size > room or "..." in inner:
            return engine.local(call, spread="proportional")
        one = f"{','.join(map(''.join, rest))}->{''.join(inner)}"
        weight = torch.einsum(one, *(operands[i].detach() for i in constants))
    plain = f"{''.join(own)},{''.join(inner)}->{''.join(result)}"

    def apply(x: Tensor, weight: Tensor) -> Tensor:
        return torch.einsum(plain, x, weight)

    return hang_sum(engine, call, x, General(x, weight, None, out, apply), out)


Term = list[str]


def _tokens(text: str) -> Term:
    return list(text.replace("...", "."))


def _parsed(equation: str) -> tuple[list[Term], Term]:
    """Return the indices of each operand and of the result; ``"..."`` is one of them."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = [_tokens(part) for part in left.split(",")]
    if arrow:
        result = _tokens(right)
    else:
        counts = Counter(t for term in terms for t in term if t != ".")
        result = ["."] * any("." in term for term in terms) + sorted(t for t, n in counts.items() if n == 1)
    return [[t.replace(".", "...") for t in term] for term in terms], [t.replace(".", "...") for t in result]


def _indices(term: Sequence[str]) -> Term:
    return list(dict.fromkeys(term))


def _sizes(terms: Sequence[Term], operands: Sequence[Tensor]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        if "..." not in term:
            for index, size in zip(term, operand.shape, strict=True):
                sizes[index] = max(size, sizes.get(index, 1))
    return sizes


def _as_string(items: Sequence[Any]) -> tuple[str, tuple[Tensor, ...]]:
    """Return the equation and the operands of the form ``einsum(a, [0, 1], b, [1, 2], [0, 2])``."""
    pairs = list(zip(items[::2], items[1::2], strict=False))

    def letters(indices: Sequence[Any]) -> str:
        return "".join("..." if i is Ellipsis else chr(97 + i) if i < 26 else chr(65 + i - 26) for i in indices)

    equation = ",".join(letters(indices) for _, indices in pairs)
    if len(items) % 2:
        equation += "->" + letters(items[-1])
    return equation, tuple(operand for operand, _ in pairs)


@handles("tensordot")
def tensordot(
    engine: Engine, call: Call, a: Tensor, b: Tensor, dims: Any = 2, dims_b: Any = None, **kwargs: Any
) -> Any:
    """A sum over pairs of dimensions."""
    if len(call.tracked) > 1 or a is b or a.is_complex() or b.is_complex():
        return matrix_product(engine, call)
    x, weight = (a, b) if call.tracked[0] is a else (b, a)
    named = {**kwargs, **({} if dims_b is None else {"dims_other": dims_b})}

    def apply(x: Tensor, weight: Tensor) -> Tensor:
        pair = (x, weight) if call_first else (weight, x)
        if "dims_self" in kwargs:
            return function(*pair, **named)
        return function(*pair, dims, *(() if dims_b is None else (dims_b,)))

    call_first, function = x is a, call.func
    out = call.value()
    return hang_sum(engine, call, x, General(x, weight, None, out, apply), out)


@handles("outer", "ger", "kron", "cross", "linalg_cross", "linalg_vecdot")
def product(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Products whose every output is a fixed combination of products: linear in the one signal, shared by two."""
    return matrix_product(engine, call)


@handles("linalg_multi_dot", "chain_matmul")
def chain(engine: Engine, call: Call, *matrices: Any) -> Any:
    """A product of matrices; constants beside one signal are multiplied with one another first."""
    items = list(tensors_in(matrices))
    places = [i for i, t in enumerate(items) if any(t is x for x in call.tracked)]
    if len(places) > 1:
        return matrix_product(engine, call)
    place = places[0]
    left, x, right = items[:place], items[place], items[place + 1 :]
    with engine:
        if right:
            x = x @ reduce(torch.matmul, right)
        return reduce(torch.matmul, left) @ x if left else x


@handles("addcmul", "addcdiv")
def add_product(
    engine: Engine, call: Call, input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1
) -> Any:
    """``input + value * tensor1 * tensor2``, or with a quotient."""
    with engine:
        part = tensor1 * tensor2 if call.name == "addcmul" else tensor1 / tensor2
        return input + part * value


@handles("addbmm", "addr")
def add_matrix_product(
    engine: Engine, call: Call, input: Tensor, first: Tensor, second: Tensor, *, beta: float = 1, alpha: float = 1
) -> Any:
    """A sum of products of matrices, or the product of two vectors, added to what is there."""
    with engine:
        part = torch.outer(first, second) if call.name == "addr" else torch.bmm(first, second).sum(0)
        # With a beta of 0 torch does not read the first input: it may be uninitialised.
        return input * beta + part * alpha if beta else part * alpha


@handles("linalg_solve", "linalg_solve_triangular", "cholesky_solve")
def solve(engine: Engine, call: Call, A: Tensor, B: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Linear in the right side; the matrix divides and counts as a constant, as every divisor does."""
    side = A if call.name == "cholesky_solve" else B
    if not any(side is t for t in call.tracked):
        return engine.unsupported(call, "of a constant by a matrix that depends on the input")
    return engine.scaled(call, [1.0 if t is side else 0.0 for t in call.tracked], spread="proportional")


@handles("vander", "linalg_vander")
def powers(engine: Engine, call: Call, x: Tensor, N: int | None = None, increasing: bool = False) -> Any:
    """Each power by itself."""
    n = x.shape[-1] if N is None else N
    with engine:
        columns = [x**k for k in range(n)]
        return torch.stack(columns if increasing or call.name == "linalg_vander" else columns[::-1], -1)

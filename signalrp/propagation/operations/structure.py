"""Functions that move, select, join, add up or average: linear in the signal as they stand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.pull import total
from signalrp.propagation.registry import IN_PLACE, ROUTES, handles, overwrites
from signalrp.propagation.tags import Call, tensors_in, with_tensors

MOVES = (
    "view", "reshape", "flatten", "unflatten", "ravel", "permute", "transpose", "swapaxes", "swapdims", "movedim",
    "moveaxis", "t", "T", "mT", "H", "mH", "adjoint", "squeeze", "unsqueeze", "contiguous", "clone", "expand",
    "expand_as", "broadcast_to", "broadcast_tensors", "repeat", "repeat_interleave", "tile", "roll", "flip",
    "fliplr", "flipud", "rot90", "__getitem__", "select", "narrow", "index_select", "gather", "take",
    "take_along_dim", "chunk", "split", "split_with_sizes", "tensor_split", "unbind", "__iter__", "as_strided",
    "view_as", "reshape_as", "to", "type", "type_as", "float", "double", "half", "bfloat16", "cpu", "cuda",
    "diagonal", "alias", "positive", "__pos__", "pixel_shuffle",
    "pixel_unshuffle", "channel_shuffle", "max", "min", "amax", "amin", "aminmax", "median", "nanmedian", "mode",
    "kthvalue", "sort", "msort", "topk", "cummax", "cummin", "masked_select", "atleast_1d", "atleast_2d",
    "atleast_3d", "narrow_copy", "squeeze_", "unsqueeze_", "transpose_", "t_", "swapaxes_", "requires_grad_",
    "unsafe_chunk", "unsafe_split", "hsplit", "vsplit", "dsplit", "max_pool1d", "max_pool2d", "max_pool3d",
    "max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d_with_indices", "adaptive_max_pool3d_with_indices", "fractional_max_pool2d",
    "fractional_max_pool3d", "fractional_max_pool2d_with_indices", "fractional_max_pool3d_with_indices",
    "affine_grid",
)  # fmt: skip

JOINS = (
    "cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack", "where", "masked_fill",
    "masked_scatter", "pad", "constant_pad_nd", "index_put", "index_copy", "index_fill", "scatter", "slice_scatter",
    "select_scatter", "diagonal_scatter", "unfold", "diag", "diag_embed", "tril", "triu", "max_unpool1d",
    "max_unpool2d", "max_unpool3d",
)  # fmt: skip

AVERAGES = (
    "sum", "mean", "nansum", "nanmean", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d",
    "adaptive_avg_pool2d", "adaptive_avg_pool3d", "fold", "col2im", "interpolate", "upsample_nearest1d",
    "upsample_nearest2d", "upsample_nearest3d", "upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d",
    "upsample_bicubic2d", "cumsum", "index_add", "scatter_add", "trace", "lerp",
)  # fmt: skip

ROUTES.update(MOVES)


@handles(*MOVES)
def move(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Each output is one of the inputs: nothing to do. With several tensors ``max`` and ``min`` choose one."""
    if call.name in ("max", "min") and len(list(tensors_in(args, kwargs))) == 2:
        return choose(engine, call, *args, **kwargs)
    return call.native()


@handles("maximum", "minimum", "fmax", "fmin")
def choose(engine: Engine, call: Call, input: Tensor, other: Tensor) -> Any:
    """The greater or smaller of two takes all."""
    greater = call.name in ("max", "maximum", "fmax")
    with torch.no_grad():
        wins = input >= other if greater else input <= other
    return join(engine, Call(engine, torch.where, "where", (wins, input, other), {}, call.tracked), wins)


@handles(*JOINS)
def join(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Each output is one of the inputs or a constant; an audit books what the constants take."""
    out = call.native()
    if engine.ledger is not None:
        _book_constants(engine, call, out, call.rebind, call.without_cuts())
    return out


@handles("__setitem__", "copy_", "index_put_", "masked_fill_", "masked_scatter_", "index_copy_", "index_fill_",
         "scatter_", "fill_", "zero_")  # fmt: skip
def assign(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Like a join, into a tensor that exists, or into a view of it."""
    target: Tensor = args[0]
    whole = target if target._base is None else target._base
    before = whole.detach().clone() if engine.ledger is not None else None
    tracked = whole.requires_grad
    returned = call.native()
    if before is not None:
        others = [t for t in call.tracked if t is not target]
        place = (target.size(), target.stride(), target.storage_offset() - whole.storage_offset())

        def rerun(*tensors: Tensor) -> Tensor:
            canvas = (tensors[0] if tracked else before).clone()
            new = dict(zip(map(id, others), tensors[1:] if tracked else tensors, strict=True))
            rest = with_tensors(args[1:], lambda t: new.get(id(t), t))
            named = with_tensors(kwargs, lambda t: new.get(id(t), t))
            call.func(canvas if target is whole else canvas.as_strided(*place), *rest, **named)
            return canvas

        _book_constants(engine, call, whole, rerun, None, [before, *others] if tracked else others)
    return returned


@handles(*AVERAGES)
def average(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Sums with weights that the model does not learn."""
    if call.name == "lerp" and len(call.tracked) > 2:
        return engine.unsupported(call, "with a weight that depends on the input")
    return engine.local(call, spread="flat")


@handles("grid_sample")
def sample_grid(engine: Engine, call: Call, input: Tensor, grid: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Interpolation at places; where the places depend on the signal as well they get nothing."""
    return engine.scaled(call, [1.0 if t is input else 0.0 for t in call.tracked], spread="flat")


@handles("conj", "resolve_conj", "resolve_neg", "real", "imag")
def complex_part(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Relevance of a complex number is one real number, so that its parts hand it on as it is."""
    return engine.local(call)


@handles("multi_head_attention_forward")
def attention(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Not explained yet."""
    return engine.unsupported(call)


@handles(
    "diff", "norm", "linalg_norm", "linalg_vector_norm", "std", "quantile", "nanquantile", "fft_rfft",
    "view_as_real", "view_as_complex", "fft_irfft", "fft_fft", "fft_ifft", "fft_fft2", "fft_ifft2", "fft_rfft2",
    "fft_irfft2", "fft_fftn", "fft_ifftn", "fft_fftshift", "fft_ifftshift", "fft_hfft", "fft_ihfft",
)  # fmt: skip
def mixture(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Homogeneous of degree one, with weights of either sign."""
    return engine.local(call, spread="proportional")


@handles("var")
def variance(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Homogeneous of degree two: half of the derivative."""
    return engine.scaled(call, [0.5], spread="proportional")


@handles("add", "__add__", "__radd__", "sub", "__sub__", "__rsub__", "rsub", "subtract")
def add(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Each summand keeps what it brought; constants keep theirs."""
    return engine.local(call)


def _book_constants(
    engine: Engine, call: Call, out: Tensor, rerun: Any, uncut: Any, inputs: list[Tensor] | None = None
) -> None:
    """Let the gradient that will reach `out` book what the constants in it take."""
    inputs = call.tracked if inputs is None else inputs
    with torch.no_grad():
        zeros = [torch.zeros_like(t) for t in inputs]
        constant = rerun(*zeros)
        without_cut = uncut(*zeros) if uncut is not None else constant
        marked = _marks(inputs, rerun, constant)
    if not any(t.is_floating_point() for t in tensors_in(constant)) or not bool(marked.any()):
        return
    step, path, value = engine.next_step(), engine.path, out.detach().clone()
    finite = torch.where(torch.isfinite(constant), constant, 0)
    finite_uncut = torch.where(torch.isfinite(without_cut), without_cut, 0)

    def book(c: Tensor | None) -> None:
        ledger = engine.ledger
        if ledger is None or c is None:
            return
        if engine.carries_relevance:
            received, lost, cut = total(c), total(c * marked), 0.0
        else:
            received = total(torch.where(c == 0, 0, c.conj() * value))
            lost = total(c.conj() * finite_uncut)
            cut = total(c.conj() * finite) - lost
        passed = total(torch.where(marked, 0, c if engine.carries_relevance else c.conj() * value))
        ledger.book(step, call.name, path, received, passed, absorbed={"constant": lost, "cut": cut})

    out.register_hook(book)


def _marks(inputs: list[Tensor], rerun: Any, constant: Tensor) -> Tensor:
    """Return where the output is a constant, found by what does not change with the inputs."""
    ones = rerun(*[torch.ones_like(t) for t in inputs])
    mark = ones == constant
    nan = torch.isnan(ones) & torch.isnan(constant)
    return mark | nan


IN_PLACE.update(
    dict.fromkeys(
        ("__setitem__", "copy_", "index_put_", "masked_fill_", "masked_scatter_", "index_copy_", "index_fill_",
         "scatter_", "fill_", "zero_", "squeeze_", "unsqueeze_", "transpose_", "t_", "swapaxes_"),
        "",
    )
)  # fmt: skip
IN_PLACE.update({"__iadd__": "add", "__isub__": "sub"})
overwrites("add", "sub", "subtract", "cumsum", "index_add", "scatter_add", "lerp", "tril", "triu")

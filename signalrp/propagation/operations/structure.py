"""Functions that move, select, join, add up or average: linear in the signal as they stand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.operations.reductions import homogeneous_in_all
from signalrp.propagation.operations.slopes import hang_pointwise, note_floor
from signalrp.propagation.pull import total
from signalrp.propagation.registry import CUTS, IN_PLACE, handles
from signalrp.propagation.tags import Affine, Call, affine_of, mark, tensors_in, with_tensors

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
    "atleast_3d", "narrow_copy", "squeeze_", "unsqueeze_", "transpose_", "t_", "swapaxes_",
    "unsafe_chunk", "unsafe_split", "hsplit", "vsplit", "dsplit", "max_pool1d", "max_pool2d", "max_pool3d",
    "max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d_with_indices", "adaptive_max_pool3d_with_indices", "fractional_max_pool2d",
    "fractional_max_pool3d", "fractional_max_pool2d_with_indices", "fractional_max_pool3d_with_indices",
    # The same as operators of exported programs, and as copies rather than views.
    "_unsafe_view", "slice", "index", "_to_copy", "lift_fresh", "lift_fresh_copy", "_reshape_alias", "_unsafe_index",
    "unsafe_split_with_sizes", "view_copy", "_reshape_alias_copy", "expand_copy", "permute_copy",
    "transpose_copy", "t_copy", "squeeze_copy", "unsqueeze_copy", "select_copy", "slice_copy", "split_copy",
    "split_with_sizes_copy", "unbind_copy", "unfold_copy", "alias_copy", "diagonal_copy", "as_strided_copy",
    "linalg_diagonal", "meshgrid", "combinations", "reflection_pad1d",
    "reflection_pad2d", "reflection_pad3d", "replication_pad1d", "replication_pad2d", "replication_pad3d",
    "_pad_circular", "to_dense", "cfloat", "cdouble", "chalf", "swapdims_", "as_strided_",
)  # fmt: skip

VIEWS = {
    "view", "reshape", "flatten", "unflatten", "permute", "transpose", "movedim", "squeeze", "unsqueeze", "expand",
    "expand_as", "broadcast_to", "__getitem__", "repeat", "contiguous", "clone", "view_as", "to", "float", "double",
    "mT", "T", "t", "swapaxes", "swapdims", "moveaxis", "select", "narrow", "tile", "repeat_interleave", "flip", "roll",
    "_unsafe_view", "reshape_as", "ravel", "type_as", "index_select", "half", "bfloat16", "slice",
}  # fmt: skip

JOINS = (
    "cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack", "row_stack", "where",
    "masked_fill", "masked_scatter", "pad", "constant_pad_nd", "index_put", "_unsafe_index_put", "put", "index_copy",
    "index_fill", "slice_scatter", "select_scatter", "diagonal_scatter", "block_diag", "cartesian_prod",
    "unfold", "diag", "diagflat", "diag_embed", "tril", "triu",
    "pad_sequence",
)  # fmt: skip

AVERAGES = (
    "sum", "mean", "nansum", "nanmean", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d",
    "adaptive_avg_pool2d", "adaptive_avg_pool3d", "fold", "col2im", "interpolate", "upsample_nearest1d",
    "upsample_nearest2d", "upsample_nearest3d", "upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d",
    "upsample_bicubic2d", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d",
    "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "sum_to_size",
    "cumsum", "index_add", "scatter_add", "trace", "affine_grid", "affine_grid_generator",
)  # fmt: skip


@handles(*MOVES)
def move(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Each output is one of the inputs: nothing to do. With several tensors ``max`` and ``min`` choose one."""
    if call.name in ("max", "min") and len(list(tensors_in(args, kwargs))) == 2:
        return choose(engine, call, *args, **kwargs)
    out = call.native()
    link = affine_of(engine, args[0]) if call.name in VIEWS and len(call.tracked) == 1 else None
    if link is not None and isinstance(out, Tensor):
        # The same view of the signal, so that a number added before is still known behind it.
        signal = call.rebind(link.signal)
        made = engine.inherited(call)
        made.affine = Affine(signal, signal._version, out._version, link.scale, link.offset)
        mark(out, made)
    return out


@handles("maximum", "minimum", "fmax", "fmin")
def choose(engine: Engine, call: Call, input: Tensor, other: Tensor) -> Any:
    """The greater or smaller of two signals takes all. With a constant it is a clamp, and counts as one."""
    greater = call.name in ("max", "maximum", "fmax")
    if len(call.tracked) == 1:
        result = hang_pointwise(engine, call)
        constant = other if call.tracked[0] is input else input
        if greater and constant.dim() == 0 and not constant.is_cuda:
            note_floor(engine, call, result, float(constant))
        return result
    with torch.no_grad():
        wins = input >= other if greater else input <= other
    return join(engine, Call(engine, torch.where, "where", (wins, input, other), {}, call.tracked), wins)


@handles("nan_to_num")
def replace_odd_numbers(engine: Engine, call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """What is not finite is replaced by a constant."""
    choice = (torch.isfinite(input), input, call.value())
    return join(engine, Call(engine, torch.where, "where", choice, {}, call.tracked))


@handles(*JOINS)
def join(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Each output is one of the inputs or a constant; an audit books what the constants take."""
    if _adds(call):
        return engine.local(call, spread="flat")
    out = call.native()
    if engine.ledger is not None:
        _book_constants(engine, call, out, call.rebind, call.without_cuts())
    return out


def _adds(call: Call) -> bool:
    """Whether values are added to what is there rather than put in its place."""
    how = call.kwargs.get("reduce", call.kwargs.get("accumulate"))
    if how is None and call.name in ("put", "put_", "index_put", "index_put_", "_unsafe_index_put"):
        how = call.args[3] if len(call.args) > 3 else None
    if how == "multiply":
        call.engine.unsupported(call, 'with reduce="multiply"; multiply by a tensor of factors')
    return bool(how)


@handles("scatter")
def scatter(engine: Engine, call: Call, input: Tensor, dim: int, index: Tensor, src: Any = None, **kwargs: Any) -> Any:
    """Values put in the place of others, or added to them."""
    if not _adds(call):
        return join(engine, call)
    src = kwargs.get("value", src)
    with engine:
        return input.scatter_add(dim, index, src if isinstance(src, Tensor) else input.new_full(index.shape, src))


@handles("scatter_reduce", "index_reduce")
def scatter_reduce(
    engine: Engine, call: Call, input: Tensor, dim: int, index: Tensor, *args: Any, **kwargs: Any
) -> Any:
    """Sums and means by their weights; of several values the greatest or smallest takes all."""
    reduce = kwargs.get("reduce", args[1] if len(args) > 1 else "sum")
    if reduce == "prod":
        return engine.unsupported(call, 'with reduce="prod"; multiply with torch.prod')
    if reduce in ("sum", "mean"):
        return engine.local(call, spread="flat")
    return homogeneous_in_all(engine, call)


@handles("copy")
def functional_copy(engine: Engine, call: Call, input: Tensor, source: Tensor, *args: Any) -> Any:
    """What is left of an assignment in exported programs."""
    with engine:
        return source.to(input).expand_as(input)


@handles("__setitem__", "copy_", "index_put_", "masked_fill_", "masked_scatter_", "index_copy_", "index_fill_",
         "scatter_", "fill_", "zero_", "put_", "fill_diagonal_")  # fmt: skip
def assign(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Like a join, into a tensor that exists, or into a view of it."""
    target: Tensor = args[0]
    if _adds(call):
        with engine:
            return target.copy_(getattr(target, call.name[:-1])(*args[1:], **kwargs))
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
    return engine.local(call, spread="flat")


@handles("lerp")
def interpolated(engine: Engine, call: Call, input: Tensor, end: Tensor, weight: Any) -> Any:
    """A mean with weights; weights that are a signal are a factor, as where it is written out."""
    if any(weight is t for t in call.tracked):
        with engine:
            return input + weight * (end - input)
    return engine.local(call, spread="proportional" if any(t.is_complex() for t in call.tracked) else "flat")


@handles("grid_sample", "grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def sample_grid(engine: Engine, call: Call, input: Tensor, grid: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Interpolation at places; where the places depend on the signal as well they get nothing."""
    if not any(input is t for t in call.tracked):
        return engine.cut(call)
    places = grid.detach()
    args, kwargs = (with_tensors(item, lambda t: places if t is grid else t) for item in (call.args, call.kwargs))
    return engine.local(Call(engine, call.func, call.name, args, kwargs, [input]), spread="flat")


@handles("max_unpool1d", "max_unpool2d", "max_unpool3d")
def unpool(engine: Engine, call: Call, input: Tensor, indices: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Each value goes to its place; where windows overlap and send several to one, the last one counts."""
    dims = int(call.name[-2])
    with torch.no_grad():
        numbers = torch.arange(1, 1 + input.shape[-dims:].numel(), dtype=torch.float64, device=input.device)
        numbers = numbers.reshape(input.shape[-dims:]).expand(input.shape)
        chosen = call.func(numbers, indices, *args, **kwargs).long()
    with engine:
        values = input.flatten(-dims).gather(-1, (chosen.flatten(-dims) - 1).clamp(min=0))
        return torch.where(chosen > 0, values.reshape(chosen.shape), 0)


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
    if not (constant.is_floating_point() or constant.is_complex()) or not bool(marked.any()):
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
        passed = total(torch.where(marked | (c == 0), 0, c if engine.carries_relevance else c.conj() * value))
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
         "scatter_", "fill_", "zero_", "put_", "fill_diagonal_", "squeeze_", "unsqueeze_", "transpose_", "t_",
         "swapaxes_", "swapdims_", "as_strided_"),
        "",
    )
)  # fmt: skip

COMPARISONS = (
    "eq", "ne", "gt", "ge", "lt", "le", "greater", "greater_equal", "less", "less_equal", "not_equal", "logical_and",
    "logical_or", "logical_not", "logical_xor",
)  # fmt: skip
CUTS_IN_PLACE = {
    f"{name}_": name
    for name in (*sorted(CUTS), *COMPARISONS, "atan2", "arctan2")
    if hasattr(Tensor, f"{name}_") and name not in ("detach", "bernoulli")
}


@handles(*CUTS_IN_PLACE)
def cut_in_place(engine: Engine, call: Call, target: Tensor, *args: Any) -> Any:
    """What is written over the signal is a constant to it."""
    with engine:
        return target.copy_(getattr(target, CUTS_IN_PLACE[call.name])(*args))


IN_PLACE.update(dict.fromkeys(CUTS_IN_PLACE, ""))

"""One call, at least, of every torch function that the engine handles."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Function = Callable[[Tensor], Tensor]

GENERATOR = torch.Generator().manual_seed(12)


def constant(*shape: int) -> Tensor:
    return torch.randn(shape, generator=GENERATOR, dtype=torch.float64)


SHAPE = (2, 4, 6)
K, ROW, KERNEL = constant(*SHAPE), constant(6), constant(6, 6)
MASK = K > 0.3
INDEX = torch.tensor([3, 0, 2])


def both(function: Callable[[Tensor, Tensor], Tensor]) -> Function:
    """Call a function of two signals."""
    return lambda x: function(x[:, :2], x[:, 2:].flip(-1))


def overwritten(change: Callable[[Tensor], object]) -> Function:
    """Let a function overwrite a copy of the signal."""

    def call(x: Tensor) -> Tensor:
        copy = x * 1.0
        returned = change(copy)
        return copy if returned is None else returned

    return call


def image(x: Tensor) -> Tensor:
    return x.reshape(2, 1, 4, 6)


def volume(x: Tensor) -> Tensor:
    return x.reshape(1, 2, 2, 2, 6)


def first(result: tuple[Tensor, ...]) -> Tensor:
    return result[0]


def as_complex(x: Tensor) -> Tensor:
    return torch.view_as_complex(x.reshape(2, 4, 3, 2))


def spectrum(function: Callable[[Tensor], Tensor]) -> Function:
    return lambda x: torch.view_as_real(function(x).resolve_conj())


# Every output is one of the inputs: relevance is gradient times input.
MOVES: dict[str, Function] = {
    "view": lambda x: x.view(2, 24),
    "reshape": lambda x: x.reshape(8, 6),
    "flatten": lambda x: torch.flatten(x, 1),
    "unflatten": lambda x: x.unflatten(1, (2, 2)),
    "ravel": lambda x: x.ravel(),
    "permute": lambda x: x.permute(2, 0, 1),
    "transpose": lambda x: x.transpose(1, 2),
    "swapaxes": lambda x: x.swapaxes(1, 2),
    "swapdims": lambda x: x.swapdims(1, 2),
    "movedim": lambda x: x.movedim(1, 2),
    "moveaxis": lambda x: x.moveaxis(1, 2),
    "t": lambda x: x[0].t(),
    "T": lambda x: x[0].T,
    "mT": lambda x: x.mT,
    "H": lambda x: x[0].H,
    "mH": lambda x: x.mH,
    "adjoint": lambda x: x.adjoint(),
    "squeeze": lambda x: x[:1].squeeze(0),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "contiguous": lambda x: x.mT.contiguous(),
    "clone": lambda x: x.clone(),
    "expand": lambda x: x[:, None].expand(2, 3, 4, 6),
    "expand_as": lambda x: x[:, :1].expand_as(x),
    "broadcast_to": lambda x: torch.broadcast_to(x, (3, 2, 4, 6)),
    "broadcast_tensors": lambda x: first(torch.broadcast_tensors(x, K[None])),
    "repeat": lambda x: x.repeat(1, 2, 1),
    "repeat_interleave": lambda x: x.repeat_interleave(2, 1),
    "tile": lambda x: x.tile(1, 2, 1),
    "roll": lambda x: x.roll(2, -1),
    "flip": lambda x: x.flip(-1),
    "fliplr": lambda x: x.fliplr(),
    "flipud": lambda x: x.flipud(),
    "rot90": lambda x: x.rot90(1, (1, 2)),
    "__getitem__": lambda x: x[:, 1::2, [0, 0, 3]],
    "select": lambda x: x.select(1, 2),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "narrow_copy": lambda x: torch.narrow_copy(x, 1, 1, 2),
    "index_select": lambda x: x.index_select(1, INDEX),
    "gather": lambda x: x.gather(1, INDEX[None, :, None].expand(2, 3, 6)),
    "take": lambda x: x.take(INDEX),
    "take_along_dim": lambda x: x.take_along_dim(INDEX[None, :, None].expand(2, 3, 6), 1),
    "chunk": lambda x: x.chunk(2, 1)[1],
    "split": lambda x: x.split(3, -1)[0],
    "split_with_sizes": lambda x: x.split_with_sizes([2, 4], -1)[1],
    "tensor_split": lambda x: x.tensor_split(2, 1)[0],
    "unbind": lambda x: x.unbind(1)[2],
    "__iter__": lambda x: list(x)[1],
    "unfold": lambda x: x.unfold(-1, 3, 2),
    "im2col": lambda x: F.unfold(image(x), (2, 2)),
    "as_strided": lambda x: x.as_strided((2, 3), (1, 2)),
    "view_as": lambda x: x.view_as(K),
    "reshape_as": lambda x: x.reshape_as(K),
    "to": lambda x: x.to(torch.float64),
    "type": lambda x: x.type(torch.float64),
    "type_as": lambda x: x.type_as(K),
    "double": lambda x: x.double(),
    "cpu": lambda x: x.cpu(),
    "real": lambda x: as_complex(x).real,
    "imag": lambda x: as_complex(x).imag,
    "view_as_real": lambda x: torch.view_as_real(as_complex(x)),
    "view_as_complex": lambda x: torch.view_as_real(as_complex(x)),
    "conj": lambda x: torch.view_as_real(as_complex(x).conj().resolve_conj()),
    "resolve_conj": lambda x: torch.view_as_real(as_complex(x).conj().resolve_conj()),
    "resolve_neg": lambda x: as_complex(x).conj().imag.resolve_neg(),
    "diagonal": lambda x: x.diagonal(dim1=1, dim2=2),
    "diag": lambda x: x[0].diag(),
    "diag_embed": lambda x: x.diag_embed(),
    "tril": lambda x: x.tril(),
    "triu": lambda x: x.triu(),
    "alias": lambda x: torch.ops.aten.alias(x),
    "positive": lambda x: x.positive(),
    "__pos__": lambda x: +x,
    "pixel_shuffle": lambda x: F.pixel_shuffle(x.reshape(1, 4, 4, 3), 2),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(image(x), 2),
    "channel_shuffle": lambda x: F.channel_shuffle(x, 2),
    "max": lambda x: x.max(1).values,
    "min": lambda x: x.min(1)[0],
    "amax": lambda x: x.amax((1, 2)),
    "amin": lambda x: x.amin(1),
    "aminmax": lambda x: first(torch.aminmax(x, dim=1)),
    "median": lambda x: x.median(1).values,
    "nanmedian": lambda x: x.nanmedian(1).values,
    "mode": lambda x: x.mode(1).values,
    "kthvalue": lambda x: x.kthvalue(2, 1).values,
    "sort": lambda x: x.sort(-1, descending=True).values,
    "msort": lambda x: x.msort(),
    "topk": lambda x: x.topk(2, -1).values,
    "cummax": lambda x: x.cummax(-1).values,
    "cummin": lambda x: x.cummin(-1).values,
    "masked_select": lambda x: x.masked_select(MASK),
    "atleast_1d": lambda x: torch.atleast_1d(x),
    "atleast_2d": lambda x: torch.atleast_2d(x),
    "atleast_3d": lambda x: torch.atleast_3d(x),
    "unsafe_chunk": lambda x: x.unsafe_chunk(2, 1)[0],
    "unsafe_split": lambda x: x.unsafe_split(2, 1)[0],
    "hsplit": lambda x: x.hsplit(2)[0],
    "vsplit": lambda x: x.vsplit(2)[0],
    "dsplit": lambda x: x.dsplit(2)[0],
    "max_pool1d": lambda x: F.max_pool1d(x, 3, 2, 1),
    "max_pool2d": lambda x: F.max_pool2d(image(x), 2),
    "max_pool3d": lambda x: F.max_pool3d(volume(x), 2),
    "max_pool1d_with_indices": lambda x: first(F.max_pool1d(x, 2, return_indices=True)),
    "max_pool2d_with_indices": lambda x: first(F.max_pool2d(image(x), 2, return_indices=True)),
    "max_pool3d_with_indices": lambda x: first(F.max_pool3d(volume(x), 2, return_indices=True)),
    "adaptive_max_pool1d": lambda x: F.adaptive_max_pool1d(x, 2),
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(image(x), (2, 3)),
    "adaptive_max_pool3d": lambda x: F.adaptive_max_pool3d(volume(x), (1, 2, 3)),
    "adaptive_max_pool1d_with_indices": lambda x: first(F.adaptive_max_pool1d(x, 2, return_indices=True)),
    "adaptive_max_pool2d_with_indices": lambda x: first(F.adaptive_max_pool2d(image(x), 2, return_indices=True)),
    "adaptive_max_pool3d_with_indices": lambda x: first(F.adaptive_max_pool3d(volume(x), 2, return_indices=True)),
    "fractional_max_pool2d": lambda x: F.fractional_max_pool2d(
        image(x), 2, 2, _random_samples=torch.full((2, 1, 2), 0.4).double()
    ),
    "fractional_max_pool3d": lambda x: F.fractional_max_pool3d(
        volume(x), 1, (1, 1, 3), _random_samples=torch.full((1, 2, 3), 0.4).double()
    ),
    "max_unpool1d": lambda x: F.max_unpool1d(x, torch.arange(0, 12, 2).expand(2, 4, 6), 2),
    "max_unpool2d": lambda x: F.max_unpool2d(x, torch.arange(24).mul(4).reshape(1, 4, 6).expand(2, 4, 6), 2),
    "max_unpool3d": lambda x: F.max_unpool3d(
        volume(x), torch.arange(24).mul(8).reshape(1, 1, 2, 2, 6).expand(1, 2, 2, 2, 6), 2
    ),
    "maximum": both(torch.maximum),
    "minimum": both(torch.minimum),
    "fmax": both(torch.fmax),
    "fmin": both(torch.fmin),
    "max of two": both(torch.max),
    "min of two": both(lambda a, b: a.min(b)),
    "maximum broadcast": lambda x: torch.maximum(x, x[:, :1]),
    "cat": lambda x: torch.cat([x, -x], 1),
    "concat": lambda x: torch.concat([x, x[:, :1]], 1),
    "concatenate": lambda x: torch.concatenate([x, x], 1),
    "stack": lambda x: torch.stack([x, 2 * x]),
    "hstack": lambda x: torch.hstack([x, x]),
    "vstack": lambda x: torch.vstack([x, x]),
    "dstack": lambda x: torch.dstack([x, x]),
    "column_stack": lambda x: torch.column_stack([x, x]),
    "pad": lambda x: F.pad(x, (1, 2)),
    "pad circular": lambda x: F.pad(x, (3, 2), mode="circular"),
    "pad reflect": lambda x: F.pad(x, (3, 2), mode="reflect"),
    "pad replicate": lambda x: F.pad(x, (3, 2), mode="replicate"),
    "constant_pad_nd": lambda x: torch.constant_pad_nd(x, (1, 2)),
    "masked_fill": lambda x: x.masked_fill(MASK, 0.0),
    "pad_sequence": lambda x: torch.nn.utils.rnn.pad_sequence([x[0], x[1, :2]], True),
    "squeeze_": overwritten(lambda x: x[:1].squeeze_(0)),
    "unsqueeze_": overwritten(lambda x: x.unsqueeze_(0)),
    "transpose_": overwritten(lambda x: x.transpose_(1, 2)),
    "t_": overwritten(lambda x: x[0].t_()),
    "swapaxes_": overwritten(lambda x: x.swapaxes_(1, 2)),
    "zero_": overwritten(lambda x: (x[:, 1].zero_(), None)[1]),
    "dropout": lambda x: F.dropout(x, 0.5, False),
    "dropout in place": overwritten(lambda x: F.dropout(x, 0.5, False, inplace=True)),
    "dropout in place of a ReLU": overwritten(lambda x: F.dropout(F.relu_(x), 0.5, False, inplace=True)),
    "dropout1d in place": overwritten(lambda x: F.dropout1d(x, 0.5, False, inplace=True)),
    "alpha_dropout in place": overwritten(lambda x: F.alpha_dropout(x, 0.5, False, inplace=True)),
    "feature_alpha_dropout in place": overwritten(lambda x: F.feature_alpha_dropout(x, 0.5, False, inplace=True)),
    "feature_dropout": lambda x: torch.feature_dropout(x, 0.5, False),
    "alpha_dropout": lambda x: torch.alpha_dropout(x, 0.5, False),
    "feature_alpha_dropout": lambda x: torch.feature_alpha_dropout(x, 0.5, False),
}

# Homogeneous of degree one and free of constants: relevance is gradient times input here as well.
HOMOGENEOUS: dict[str, Function] = {
    "relu": F.relu,
    "relu_": overwritten(F.relu_),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "leaky_relu_": overwritten(lambda x: F.leaky_relu(x, 0.1, inplace=True)),
    "prelu": lambda x: F.prelu(x, ROW[:4].abs()),
    "rrelu": lambda x: F.rrelu(x),
    "rrelu_": overwritten(lambda x: F.rrelu(x, inplace=True)),
    "abs": torch.abs,
    "abs_": overwritten(lambda x: x.abs_()),
    "absolute": torch.absolute,
    "neg": torch.neg,
    "negative": torch.negative,
    "neg_": overwritten(lambda x: x.neg_()),
    "__neg__": lambda x: -x,
    "deg2rad": torch.deg2rad,
    "rad2deg": torch.rad2deg,
    "mul": lambda x: torch.mul(x, K),
    "__mul__": lambda x: x * 3.0,
    "__rmul__": lambda x: 3.0 * x,
    "multiply": lambda x: torch.multiply(K, x),
    "mul_": overwritten(lambda x: x.mul_(ROW)),
    "multiply_": overwritten(lambda x: x.multiply_(2)),
    "__imul__": overwritten(lambda x: x.__imul__(2.0)),
    "div": lambda x: torch.div(x, 3),
    "__truediv__": lambda x: x / K,
    "true_divide": lambda x: torch.true_divide(x, K),
    "divide": lambda x: torch.divide(x, K),
    "div_": overwritten(lambda x: x.div_(K)),
    "divide_": overwritten(lambda x: x.divide_(2)),
    "true_divide_": overwritten(lambda x: x.true_divide_(2)),
    "__itruediv__": overwritten(lambda x: x.__itruediv__(2)),
    "__idiv__": overwritten(lambda x: x.__idiv__(2)),
    "add": both(torch.add),
    "add scaled": both(lambda a, b: torch.add(a, b, alpha=3)),
    "__add__": lambda x: x + x[:, :1],
    "__radd__": lambda x: 0 + x,
    "sub": both(torch.sub),
    "__sub__": both(lambda a, b: a - b),
    "__rsub__": lambda x: 0 - x,
    "rsub": both(torch.rsub),
    "subtract": both(torch.subtract),
    "__iadd__": overwritten(lambda x: x.__iadd__(x[:, :1] * 2)),
    "__isub__": overwritten(lambda x: x.__isub__(x[:, :1] * 2)),
    "add_": overwritten(lambda x: x.add_(x * 2)),
    "sub_": overwritten(lambda x: x.sub_(x * 2)),
    "subtract_": overwritten(lambda x: x.subtract_(x * 2)),
    "sum": lambda x: x.sum(1),
    "mean": lambda x: x.mean((1, 2)),
    "nansum": lambda x: x.nansum(1),
    "nanmean": lambda x: x.nanmean(1),
    "avg_pool1d": lambda x: F.avg_pool1d(x, 3, 2, 1),
    "avg_pool2d": lambda x: F.avg_pool2d(image(x), 2, padding=1, count_include_pad=False),
    "avg_pool3d": lambda x: F.avg_pool3d(volume(x), 2),
    "adaptive_avg_pool1d": lambda x: F.adaptive_avg_pool1d(x, 4),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(image(x), 3),
    "adaptive_avg_pool3d": lambda x: F.adaptive_avg_pool3d(volume(x), (1, 2, 5)),
    "fold": lambda x: F.fold(x.reshape(1, 4, 12), (4, 5), (2, 2)),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2),
    "interpolate linear": lambda x: F.interpolate(x, size=9, mode="linear"),
    "interpolate bilinear": lambda x: F.interpolate(image(x), size=(5, 7), mode="bilinear", align_corners=True),
    "interpolate bicubic": lambda x: F.interpolate(image(x), size=(5, 7), mode="bicubic"),
    "interpolate trilinear": lambda x: F.interpolate(volume(x), size=(3, 3, 7), mode="trilinear"),
    "interpolate area": lambda x: F.interpolate(x, size=4, mode="area"),
    "upsample_nearest1d": lambda x: torch._C._nn.upsample_nearest1d(x, [12], None),
    "upsample_nearest2d": lambda x: torch._C._nn.upsample_nearest2d(image(x), [8, 6], None),
    "upsample_nearest3d": lambda x: torch._C._nn.upsample_nearest3d(volume(x), [2, 4, 6], None),
    "upsample_linear1d": lambda x: torch._C._nn.upsample_linear1d(x, [9], False, None),
    "upsample_bilinear2d": lambda x: torch._C._nn.upsample_bilinear2d(image(x), [5, 5], False, None),
    "upsample_trilinear3d": lambda x: torch._C._nn.upsample_trilinear3d(volume(x), [3, 3, 5], False, None),
    "upsample_bicubic2d": lambda x: torch._C._nn.upsample_bicubic2d(image(x), [5, 5], False, None),
    "col2im": lambda x: torch._C._nn.col2im(x.reshape(1, 4, 12), (4, 5), (2, 2), (1, 1), (0, 0), (1, 1)),
    "grid_sample": lambda x: F.grid_sample(image(x), torch.tanh(K[:, :3, :4].reshape(2, 2, 3, 2)), align_corners=False),
    "cumsum": lambda x: x.cumsum(-1),
    "cumsum_": overwritten(lambda x: x.cumsum_(-1)),
    "index_add": lambda x: x.index_add(1, torch.tensor([0, 0]), x[:, 2:]),
    "index_add_": overwritten(lambda x: x.index_add_(1, torch.tensor([0, 0]), x[:, 2:] * 1)),
    "scatter_add": lambda x: x.scatter_add(1, torch.zeros(2, 2, 6, dtype=torch.long), x[:, 2:]),
    "scatter_add_": overwritten(lambda x: x.scatter_add_(1, torch.zeros(2, 2, 6, dtype=torch.long), x[:, 2:] * 1)),
    "trace": lambda x: torch.trace(x[0]),
    "lerp": both(lambda a, b: torch.lerp(a, b, 0.3)),
    "lerp_": overwritten(lambda x: x.lerp_(x.flip(-1) * 1, 0.3)),
    "tril_": overwritten(lambda x: x.tril_()),
    "triu_": overwritten(lambda x: x.triu_()),
    "nan_to_num": torch.nan_to_num,
    "affine_grid": lambda x: F.affine_grid(x[:, :2, :3], [2, 1, 3, 3], align_corners=False),
    "diff": lambda x: torch.diff(x),
    "norm": lambda x: x.norm(dim=1),
    "norm p=3": lambda x: torch.norm(x, 3, 1),
    "linalg_norm": lambda x: torch.linalg.norm(x, dim=-1),
    "linalg_vector_norm": lambda x: torch.linalg.vector_norm(x, 1, dim=-1),
    "std": lambda x: x.std(-1),
    "quantile": lambda x: x.quantile(0.3, dim=-1),
    "nanquantile": lambda x: x.nanquantile(0.3, dim=-1),
    "fft_rfft": spectrum(torch.fft.rfft),
    "fft_irfft": lambda x: torch.fft.irfft(as_complex(x), n=4),
    "fft_fft": spectrum(torch.fft.fft),
    "fft_ifft": spectrum(torch.fft.ifft),
    "fft_fft2": spectrum(torch.fft.fft2),
    "fft_ifft2": spectrum(torch.fft.ifft2),
    "fft_rfft2": spectrum(torch.fft.rfft2),
    "fft_irfft2": lambda x: torch.fft.irfft2(as_complex(x)),
    "fft_fftn": spectrum(torch.fft.fftn),
    "fft_ifftn": spectrum(torch.fft.ifftn),
    "fft_fftshift": lambda x: torch.fft.fftshift(x),
    "fft_ifftshift": lambda x: torch.fft.ifftshift(x),
    "fft_hfft": lambda x: torch.fft.hfft(as_complex(x)),
    "fft_ihfft": spectrum(torch.fft.ihfft),
    "einsum of one": lambda x: torch.einsum("bct->bt", x),
}

# Weighted sums without bias under epsilon = 0: gradient times input.
SUMS: dict[str, Function] = {
    "linear": lambda x: F.linear(x, KERNEL),
    "conv1d": lambda x: F.conv1d(x, constant_kernel(3, 4, 3)),
    "conv2d": lambda x: F.conv2d(image(x), constant_kernel(2, 1, 2, 2)),
    "conv3d": lambda x: F.conv3d(volume(x), constant_kernel(2, 2, 2, 1, 2)),
    "conv_transpose1d": lambda x: F.conv_transpose1d(x, constant_kernel(4, 2, 3)),
    "conv_transpose2d": lambda x: F.conv_transpose2d(image(x), constant_kernel(1, 2, 2, 2)),
    "conv_transpose3d": lambda x: F.conv_transpose3d(volume(x), constant_kernel(2, 1, 1, 2, 2)),
    "matmul": lambda x: torch.matmul(x, KERNEL),
    "matmul named": lambda x: torch.matmul(input=x, other=KERNEL),
    "__matmul__": lambda x: x @ KERNEL,
    "__rmatmul__": lambda x: x.mT.__rmatmul__(KERNEL),
    "matmul on the left": lambda x: KERNEL @ x.mT,
    "mm": lambda x: torch.mm(x[0], KERNEL),
    "bmm": lambda x: torch.bmm(x, K.mT),
    "mv": lambda x: torch.mv(x[0], ROW),
    "mv on the left": lambda x: torch.mv(KERNEL, x[0, 0]),
    "dot": lambda x: torch.dot(x[0, 0], ROW),
    "inner": lambda x: torch.inner(x, KERNEL),
    "vdot": lambda x: torch.vdot(x[0, 0], ROW),
    "einsum": lambda x: torch.einsum("bct,tk->bck", x, KERNEL),
    "einsum with two constants": lambda x: torch.einsum("bct,tk,k->bck", x, KERNEL, ROW),
    "bilinear": lambda x: F.bilinear(x, K, constant_kernel(2, 6, 6)),
    "linear, signal as the weight": lambda x: F.linear(KERNEL, x[0]),
    "conv1d, signal as the weight": lambda x: F.conv1d(constant_kernel(1, 4, 8), x),
}

# With constants, slopes or products: the ledger has to close.
OTHERS: dict[str, Function] = {
    "addmm": lambda x: torch.addmm(ROW, x[0], KERNEL),
    "addmm of three signals": lambda x: torch.addmm(x[1], x[0], KERNEL, beta=0.5, alpha=2),
    "addmv": lambda x: torch.addmv(ROW[:4], x[0], ROW),
    "baddbmm": lambda x: torch.baddbmm(K[:, :, :4], x, K.mT),
    "add a constant": lambda x: x + K,
    "add a number": lambda x: 1.5 - x,
    "cat with a constant": lambda x: torch.cat([x, K], 1),
    "stack with a constant": lambda x: torch.stack([x, torch.ones_like(x)]),
    "pad with a value": lambda x: F.pad(x, (1, 2), value=2.0),
    "where": lambda x: torch.where(MASK, x, 0.7),
    "where method": lambda x: x.where(MASK, K),
    "masked_fill with a value": lambda x: x.masked_fill(MASK, 3.0),
    "masked_fill with -inf, softmax": lambda x: x.masked_fill(MASK & (K < 1), -torch.inf).softmax(-1),
    "masked_scatter": lambda x: x.masked_scatter(MASK, K),
    "masked_scatter of the signal": lambda x: K.masked_scatter(MASK, x),
    "index_put": lambda x: x.index_put((torch.tensor([0]), torch.tensor([1])), K[0, 0]),
    "index_copy": lambda x: x.index_copy(1, INDEX, K[:, :3]),
    "index_fill": lambda x: x.index_fill(1, INDEX, 2.0),
    "scatter": lambda x: x.scatter(1, INDEX[None, :, None].expand(2, 3, 6), K[:, :3]),
    "scatter a number": lambda x: x.scatter(1, INDEX[None, :, None].expand(2, 3, 6), 1.5),
    "slice_scatter": lambda x: x.slice_scatter(K[:, :2], 1, 0, 2),
    "select_scatter": lambda x: x.select_scatter(K[:, 0], 1, 2),
    "diagonal_scatter": lambda x: x[0].diagonal_scatter(ROW[:4]),
    "__setitem__ constant": overwritten(lambda x: x.__setitem__((slice(None), 1), K[:, 0])),
    "__setitem__ number": overwritten(lambda x: x.__setitem__((slice(None), slice(1, 3)), 0.5)),
    "__setitem__ signal": overwritten(lambda x: x.__setitem__((slice(None), 1), x[:, 3] * 2)),
    "__setitem__ mask": overwritten(lambda x: x.__setitem__(MASK, 1.0)),
    "__setitem__ into a constant": lambda x: _into(x, lambda c, v: c.__setitem__((slice(None), slice(0, 4)), v)),
    "copy_": lambda x: _into(x, lambda c, v: c[:, :4].copy_(v)),
    "copy_ over the signal": overwritten(lambda x: (x[:, 0].copy_(K[:, 0]), None)[1]),
    "index_put_": overwritten(lambda x: x.index_put_((torch.tensor([0]), torch.tensor([1])), K[0, 0])),
    "masked_fill_": overwritten(lambda x: x.masked_fill_(MASK, 2.0)),
    "masked_scatter_": overwritten(lambda x: x.masked_scatter_(MASK, K)),
    "index_copy_": overwritten(lambda x: x.index_copy_(1, INDEX, K[:, :3])),
    "index_fill_": overwritten(lambda x: x.index_fill_(1, INDEX, 2.0)),
    "scatter_": overwritten(lambda x: x.scatter_(1, INDEX[None, :, None].expand(2, 3, 6), K[:, :3])),
    "fill_": overwritten(lambda x: (x[:, 2].fill_(1.5), None)[1]),
    "add_ a constant": overwritten(lambda x: x.add_(K)),
    "dropout that is always on": lambda x: F.dropout(x, 0.5, True),
    "var": lambda x: x.var(-1),
    "x * x": lambda x: x * x,
    "product": both(torch.mul),
    "product in place": overwritten(lambda x: x.mul_(x.flip(-1) * 1)),
    "gate": both(lambda a, b: a * torch.sigmoid(b)),
    "gate first": both(lambda a, b: torch.sigmoid(a) * b),
    "hard gate": both(lambda a, b: a * F.hardsigmoid(b)),
    "softmax gate": both(lambda a, b: a * b.softmax(-1)),
    "division": both(lambda a, b: a / (b.abs() + 1)),
    "__rtruediv__": lambda x: 2.0 / (x.abs() + 1),
    "__rdiv__": lambda x: (x.abs() + 1).__rdiv__(2.0),
    "x / x": lambda x: x + x / x,
    "matrix product of two": both(lambda a, b: a @ b.mT),
    "bmm of two": both(lambda a, b: torch.bmm(a, b.mT)),
    "einsum of two": both(lambda a, b: torch.einsum("bct,bdt->bcd", a, b)),
    "einsum twice the same": lambda x: torch.einsum("bct,bct->bc", x, x),
    "bilinear of two": both(lambda a, b: F.bilinear(a, b, constant_kernel(2, 6, 6))),
    "dot with itself": lambda x: torch.dot(x[0, 0], x[0, 0]),
    "x @ x.T": lambda x: x[0] @ x[0].T,
    "glu": lambda x: F.glu(x, 1),
    "normalize": lambda x: F.normalize(x, dim=-1),
    "batch_norm": lambda x: F.batch_norm(x, ROW[:4], ROW[:4].abs(), ROW[1:5], ROW[2:6]),
    "batch_norm of the batch": lambda x: F.batch_norm(x, None, None, ROW[1:5], ROW[2:6], training=True),
    "layer_norm": lambda x: F.layer_norm(x, (6,), ROW, ROW * 2),
    "layer_norm of two dimensions": lambda x: F.layer_norm(x, (4, 6), K[0], K[1]),
    "group_norm": lambda x: F.group_norm(x, 2, ROW[:4], ROW[1:5]),
    "instance_norm": lambda x: F.instance_norm(x, weight=ROW[:4], bias=ROW[1:5]),
    "instance_norm with statistics": lambda x: F.instance_norm(x, ROW[:4], ROW[:4].abs(), use_input_stats=False),
    "rms_norm": lambda x: F.rms_norm(x, (6,), ROW),
    "local_response_norm": lambda x: F.local_response_norm(x, 3, 0.5, 0.75, 2.0),
    "softmax": lambda x: F.softmax(x, -1),
    "log_softmax": lambda x: x.log_softmax(1),
    "softmin": lambda x: F.softmin(x, -1),
    "fake_quantize_per_channel_affine": lambda x: torch.fake_quantize_per_channel_affine(
        x, ROW[:4].abs().float() + 0.1, torch.zeros(4, dtype=torch.int32), 1, -128, 127
    ),
    "frac": torch.frac,
    "fmod": lambda x: torch.fmod(x, 0.7),
    "fmod of a constant": lambda x: x + torch.fmod(K, x),
    "remainder": lambda x: torch.remainder(x, 0.7),
    "__mod__": lambda x: x % 0.7,
    "detach": lambda x: x * x.detach() + x.detach(),
    "round": lambda x: x + x.round() * 0.5,
}


def constant_kernel(*shape: int) -> Tensor:
    """Return the same weights at every call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64)


def _into(x: Tensor, change: Callable[[Tensor, Tensor], object]) -> Tensor:
    canvas = torch.ones(2, 5, 6, dtype=torch.float64)
    change(canvas, x)
    return canvas


# Pointwise functions: (the function, its name in torch, whether it needs positive arguments).
POINTWISE: dict[str, Function] = {
    "gelu": F.gelu, "gelu of tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu, "mish": F.mish,
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "elu": lambda x: F.elu(x, 1.3), "celu": lambda x: F.celu(x, 0.7),
    "selu": F.selu, "softplus": F.softplus, "softsign": F.softsign, "logsigmoid": F.logsigmoid,
    "hardtanh": lambda x: F.hardtanh(x, -0.5, 2), "relu6": F.relu6, "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid, "tanhshrink": F.tanhshrink, "softshrink": F.softshrink, "hardshrink": F.hardshrink,
    "threshold": lambda x: F.threshold(x, 0.2, 0.1), "erf": torch.erf, "sin": torch.sin, "cos": torch.cos,
    "tan": torch.tan, "atan": torch.atan, "arctan": torch.arctan, "sinh": torch.sinh, "asinh": torch.asinh,
    "exp": torch.exp, "exp2": torch.exp2, "expm1": torch.expm1, "square": torch.square,
    "pow": lambda x: torch.pow(x, 3),
    "__pow__": lambda x: x**2, "clamp": lambda x: x.clamp(-0.4, 0.6), "clamp above 0": lambda x: x.clamp(min=0.3),
    "clip": lambda x: x.clip(-0.4, 0.6), "clamp_min": lambda x: x.clamp_min(-0.1),
    "clamp_max": lambda x: x.clamp_max(0.1),
    "sinc": torch.sinc, "erfc": torch.erfc, "cosh": torch.cosh, "arcsinh": torch.arcsinh,
    "i0": torch.i0, "special_i0": torch.special.i0, "special_i0e": torch.special.i0e, "special_i1": torch.special.i1,
    "special_i1e": torch.special.i1e, "special_expit": torch.special.expit, "special_erf": torch.special.erf,
    "special_erfc": torch.special.erfc, "special_expm1": torch.special.expm1, "special_exp2": torch.special.exp2,
    "special_ndtr": torch.special.ndtr, "special_log_ndtr": torch.special.log_ndtr,
    "special_sinc": torch.special.sinc, "threshold at 0": lambda x: F.threshold(x, 0.0, 0.0),
    "clamp_min far below": lambda x: x.clamp_min(1e-10), "logit with bounds": lambda x: torch.logit(x, 0.1),
    "fake_quantize_per_tensor_affine": lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 3, 0, 255),
    "softplus with beta": lambda x: F.softplus(x, 3.0, 10.0), "relu as a clamp": lambda x: x.clamp(min=0),
}  # fmt: skip
BELOW_ONE: dict[str, Function] = {
    "asin": torch.asin, "arcsin": torch.arcsin, "acos": torch.acos, "arccos": torch.arccos, "atanh": torch.atanh,
    "arctanh": torch.arctanh, "erfinv": torch.erfinv, "special_erfinv": torch.special.erfinv,
    "special_erfcx": torch.special.erfcx,
}  # fmt: skip
BETWEEN_0_AND_1: dict[str, Function] = {
    "logit": torch.logit, "special_logit": torch.special.logit, "special_ndtri": torch.special.ndtri,
}  # fmt: skip
ABOVE_ONE: dict[str, Function] = {
    "acosh": torch.acosh, "arccosh": torch.arccosh, "mvlgamma": lambda x: torch.mvlgamma(x, 2),
    "special_multigammaln": lambda x: torch.special.multigammaln(x, 2),
}  # fmt: skip
POSITIVE: dict[str, Function] = {
    "log": torch.log, "log1p": torch.log1p, "log2": torch.log2, "log10": torch.log10, "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt, "reciprocal": torch.reciprocal, "pow 0.5": lambda x: x**0.5, "pow -1.5": lambda x: x**-1.5,
    "lgamma": torch.lgamma, "digamma": torch.digamma, "polygamma": lambda x: torch.polygamma(1, x),
    "special_gammaln": torch.special.gammaln, "special_digamma": torch.special.digamma,
    "special_psi": torch.special.psi, "special_polygamma": lambda x: torch.special.polygamma(1, x),
    "special_log1p": torch.special.log1p, "special_entr": torch.special.entr,
}  # fmt: skip

CUT_IN_PLACE: dict[str, Function] = {
    **{
        f"{name}_": overwritten(lambda x, name=name: (getattr(x[:, 1], f"{name}_")(), None)[1])
        for name in ("floor", "ceil", "round", "trunc", "fix", "sign", "sgn", "logical_not")
    },
    **{
        f"{name}_": overwritten(lambda x, name=name: (getattr(x[:, 1], f"{name}_")(K[:, 1]), None)[1])
        for name in (
            "eq", "ne", "gt", "ge", "lt", "le", "greater", "greater_equal", "less", "less_equal", "not_equal",
            "logical_and", "logical_or", "logical_xor", "atan2", "floor_divide", "heaviside",
        )
    },
    "__ifloordiv__": overwritten(lambda x: x[:, 1].__ifloordiv__(0.5)),
}  # fmt: skip

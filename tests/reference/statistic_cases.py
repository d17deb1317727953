"""Statistics, contractions and complex numbers: one call, at least, of every torch function of these families."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .operation_cases import (
    INDEX,
    KERNEL,
    ROW,
    Function,
    K,
    as_complex,
    both,
    constant,
    constant_kernel,
    image,
    overwritten,
    spectrum,
    volume,
)  # fmt: skip

WINDOW = torch.hann_window(8, dtype=torch.float64)
GRAPH = torch.where(KERNEL > 0.3, KERNEL, 0)
COMPLEX = torch.complex(constant(4, 3), constant(4, 3))
POINTS = constant(3, 6)


def symmetric(x: Tensor) -> Tensor:
    """Return a positive definite matrix of the signal, (batch, 4, 4)."""
    return x @ x.mT + torch.eye(4, dtype=x.dtype)


def parts(x: Tensor) -> Tensor:
    return torch.view_as_real(x.resolve_conj())


def long_signal(x: Tensor) -> Tensor:
    return x.reshape(2, 24)


def framed(x: Tensor, **options: object) -> Tensor:
    return torch.stft(long_signal(x), 8, 3, window=WINDOW, return_complex=True, **options)


# Homogeneous of degree one, or linear: gradient times input.
HOMOGENEOUS: dict[str, Function] = {
    "norm of p = inf": lambda x: torch.norm(x, torch.inf, 1),
    "norm of p = 0.5": lambda x: x.norm(0.5, dim=-1, keepdim=True),
    "frobenius_norm": lambda x: torch.frobenius_norm(x, (1, 2)),
    "nuclear_norm": lambda x: torch.nuclear_norm(x[:, :, :3], (1, 2)),
    "linalg_matrix_norm": lambda x: torch.linalg.matrix_norm(x),
    "linalg_matrix_norm of 2": lambda x: torch.linalg.matrix_norm(x, 2),
    "linalg_svdvals": lambda x: torch.linalg.svdvals(x),
    "linalg_svd": lambda x: torch.linalg.svd(x, full_matrices=False)[1],
    "linalg_svd in full": lambda x: torch.linalg.svd(x)[1],
    "svd": lambda x: torch.svd(x)[1],
    "quantile": lambda x: x.quantile(torch.tensor([0.1, 0.7]).double(), dim=-1),
    "std_mean": lambda x: torch.cat(torch.std_mean(x, -1)),
    "std_mean of all": lambda x: torch.stack(torch.std_mean(x)),
    "pdist": lambda x: F.pdist(x[0]),
    "cdist": both(torch.cdist),
    "cdist of p = 1": both(lambda a, b: torch.cdist(a, b, p=1.0)),
    "hypot": both(torch.hypot),
    "dist": both(torch.dist),
    "trapezoid": lambda x: torch.trapezoid(x, dx=0.5),
    "trapezoid at places": lambda x: torch.trapezoid(x, ROW.sort().values),
    "trapz": lambda x: torch.trapz(x),
    "cumulative_trapezoid": lambda x: torch.cumulative_trapezoid(x),
    "diff of second order": lambda x: torch.diff(x, n=2, dim=1),
    "gradient": lambda x: torch.stack(torch.gradient(x, dim=(1, 2))),
    "einsum of three": lambda x: torch.einsum("bct,tk,bcd->bkd", x, KERNEL, K),
    "einsum with dots": lambda x: torch.einsum("...t,tk->...k", x, KERNEL),
    "einsum with dots and constants": lambda x: torch.einsum("...ct,tk,...cd->...kd", x, KERNEL, K),
    "einsum, result implied": lambda x: torch.einsum("bct,tk", x, KERNEL),
    "einsum by lists": lambda x: torch.einsum(x, [0, 1, 2], KERNEL, [2, 3], [0, 3, 1]),
    "einsum by lists with dots": lambda x: torch.einsum(x, [..., 2], KERNEL, [2, 3], [..., 3]),
    "einsum of a list": lambda x: torch.einsum("bct,tk->bck", [x, KERNEL]),
    "einsum with a large weight": lambda x: torch.einsum("bct,ik,jl->bctijkl", x, KERNEL, KERNEL),
    "einsum of complex numbers": lambda x: parts(torch.einsum("bct,ct->bc", as_complex(x), COMPLEX)),
    "tensordot": lambda x: torch.tensordot(x, KERNEL, 1),
    "tensordot over pairs": lambda x: torch.tensordot(K, x, dims=([0, 2], [0, 2])),
    "outer": lambda x: torch.outer(x[0, 0], ROW),
    "ger": lambda x: torch.ger(ROW, x[0, 0]),
    "kron": lambda x: torch.kron(x[0], KERNEL),
    "cross": lambda x: torch.cross(x[:, :, :3], K[:, :, 3:], dim=-1),
    "linalg_cross": lambda x: torch.linalg.cross(x[:, :, :3], K[:, :, 3:]),
    "linalg_vecdot": lambda x: torch.linalg.vecdot(x, K),
    "linalg_multi_dot": lambda x: torch.linalg.multi_dot([KERNEL[:3], KERNEL, x[0].T, K[0]]),
    "linalg_multi_dot, first": lambda x: torch.linalg.multi_dot([x[0], KERNEL, KERNEL]),
    "chain_matmul": lambda x: torch.chain_matmul(K[1].T, x[0], KERNEL),
    "linalg_matmul": lambda x: torch.linalg.matmul(x, KERNEL),
    "linalg_solve": lambda x: torch.linalg.solve(KERNEL, x.mT),
    "linalg_solve_triangular": lambda x: torch.linalg.solve_triangular(KERNEL.triu(), x.mT, upper=True),
    "cholesky_solve": lambda x: torch.cholesky_solve(x.mT, KERNEL.tril()),
    "mm with a sparse constant": lambda x: torch.mm(GRAPH.to_sparse(), x[0].T),
    "matmul with a sparse constant": lambda x: GRAPH.to_sparse_csr() @ x[0].T,
    "_sparse_mm": lambda x: torch.sparse.mm(GRAPH.to_sparse(), x[0].T),
    "spmm": lambda x: torch.spmm(GRAPH.to_sparse(), x[0].T),
    "dsmm": lambda x: torch.dsmm(GRAPH.to_sparse(), x[0].T),
    "abs of complex numbers": lambda x: as_complex(x).abs(),
    "complex": lambda x: parts(torch.complex(x, x.flip(-1))),
    "complex with a constant": lambda x: torch.complex(x, K).real,
    "conj_physical": lambda x: parts(as_complex(x).conj_physical()),
    "mul of complex numbers": lambda x: parts(as_complex(x) * COMPLEX),
    "div of complex numbers": lambda x: parts(as_complex(x) / COMPLEX),
    "matmul of complex numbers": lambda x: parts(as_complex(x) @ COMPLEX.mT),
    "linear of complex numbers": lambda x: parts(F.linear(as_complex(x), COMPLEX)),
    "complex of a real signal": lambda x: parts(torch.einsum("bct,t->bc", x.cdouble(), COMPLEX.flatten()[:6])),
    "cdouble": lambda x: parts(x.cdouble()),
    "stft": lambda x: parts(framed(x)),
    "stft, not centred": lambda x: framed(x, center=False, onesided=False).abs(),
    "stft, normalized": lambda x: parts(framed(x, normalized=True, pad_mode="constant")),
    "stft of two reals": lambda x: torch.view_as_real(torch.stft(long_signal(x), 8, return_complex=True)),
    "istft": lambda x: torch.istft(as_complex(x[:, :, :].reshape(2, 4, 6)).reshape(2, 3, 4), 4, 2),
    "istft of stft": lambda x: torch.istft(framed(x) * 2, 8, 3, window=WINDOW, length=24),
    "fft_hfft2": lambda x: torch.fft.hfft2(as_complex(x)),
    "fft_ihfft2": spectrum(torch.fft.ihfft2),
    "fft_rfftn": spectrum(torch.fft.rfftn),
    "fft_irfftn": lambda x: torch.fft.irfftn(as_complex(x)),
    "fft_hfftn": lambda x: torch.fft.hfftn(as_complex(x)),
    "fft_ihfftn": spectrum(torch.fft.ihfftn),
    "envelope": lambda x: torch.fft.ifft(torch.fft.fft(x) * torch.tensor([1.0, 2, 2, 1, 0, 0])).abs(),
    "scatter_reduce sum": both(lambda a, b: a.scatter_reduce(1, INDEX[None, :2, None].expand(2, 2, 6) % 2, b, "sum")),
    "scatter_reduce mean": both(
        lambda a, b: a.scatter_reduce(1, INDEX[None, :2, None].expand(2, 2, 6) % 2, b, "mean", include_self=False)
    ),
    "scatter_reduce amax": both(lambda a, b: a.scatter_reduce(1, torch.zeros(2, 2, 6).long(), b, reduce="amax")),
    "index_reduce": both(lambda a, b: a.index_reduce(1, torch.tensor([1, 1]), b, "mean")),
    "index_reduce amin": both(lambda a, b: a.index_reduce(1, torch.tensor([1, 1]), b, "amin")),
    "index_put, added": both(lambda a, b: a.index_put((torch.tensor([0, 0]),), b[:1], accumulate=True)),
    "index_put_, added": overwritten(lambda x: x.index_put_((torch.tensor([0, 0]),), x[1:] * 2, accumulate=True)),
    "put, added": both(lambda a, b: a.put(torch.tensor([3, 3]), b[0, 0, :2], accumulate=True)),
    "interpolate nearest-exact": lambda x: F.interpolate(x, size=9, mode="nearest-exact"),
    "interpolate antialias": lambda x: F.interpolate(image(x), size=(3, 4), mode="bilinear", antialias=True),
    "interpolate bicubic antialias": lambda x: F.interpolate(image(x), size=(3, 4), mode="bicubic", antialias=True),
    "_upsample_nearest_exact1d": lambda x: torch._C._nn._upsample_nearest_exact1d(x, [9], None),
    "_upsample_nearest_exact2d": lambda x: torch._C._nn._upsample_nearest_exact2d(image(x), [5, 5], None),
    "_upsample_nearest_exact3d": lambda x: torch._C._nn._upsample_nearest_exact3d(volume(x), [2, 4, 6], None),
    "_upsample_bilinear2d_aa": lambda x: torch._C._nn._upsample_bilinear2d_aa(image(x), [3, 4], False, None),
    "_upsample_bicubic2d_aa": lambda x: torch._C._nn._upsample_bicubic2d_aa(image(x), [3, 4], False, None),
    "grid_sampler": lambda x: torch.grid_sampler(image(x), torch.tanh(K[:, :3, :4].reshape(2, 2, 3, 2)), 0, 1, False),
    "grid_sampler_2d": lambda x: torch.grid_sampler_2d(
        image(x), torch.tanh(K[:, :3, :4].reshape(2, 2, 3, 2)), 0, 2, False
    ),
    "grid_sampler_3d": lambda x: torch.grid_sampler_3d(
        volume(x), torch.tanh(K[:1, :3].reshape(1, 1, 2, 3, 3)), 0, 0, False
    ),
    "affine_grid_generator": lambda x: torch.affine_grid_generator(x[:, :2, :3], [2, 1, 3, 3], False),
    "sum_to_size": lambda x: x.sum_to_size(2, 1, 6),
    "lp_pool1d": lambda x: F.lp_pool1d(x.abs(), 2, 3),
    "lp_pool2d": lambda x: F.lp_pool2d(image(x).abs(), 1, 2),
    "renorm within bounds": lambda x: torch.renorm(x, 2, 1, 1e6),
    "xlogy of a constant": lambda x: torch.xlogy(x, K.abs() + 0.1),
    "copysign": lambda x: torch.copysign(x.abs(), K),
    "ldexp": lambda x: torch.ldexp(x, torch.tensor(3)),
}  # fmt: skip

# Homogeneous of another degree: gradient times input over the degree.
DEGREES: dict[str, tuple[Function, float]] = {
    "var": (lambda x: x.var(-1), 2),
    "var of complex numbers": (lambda x: as_complex(x).var(-1), 2),
    "cov": (lambda x: torch.cov(x[0]), 2),
    "square modulus": (lambda x: as_complex(x).abs() ** 2, 2),
    "square modulus by parts": (lambda x: as_complex(x).real.square() + as_complex(x).imag.square(), 2),
    "square modulus by conj": (lambda x: (as_complex(x) * as_complex(x).conj()).real, 2),
    "square of complex numbers": (lambda x: parts(as_complex(x) ** 2), 2),
    "cube of complex numbers": (lambda x: parts(as_complex(x) ** 3), 3),
    "power of a spectrogram": (lambda x: framed(x).abs().pow(1.5), 1.5),
    "prod": (lambda x: x.prod(-1), 6),
    "prod of all": (lambda x: x[0, :2, :3].prod(), 6),
    "matrix_power": (lambda x: torch.matrix_power(x[:, :, :4], 3), 3),
    "linalg_matrix_power": (lambda x: torch.linalg.matrix_power(x[:, :, :4], -2), -2),
    "inverse": (lambda x: x[:, :, :4].inverse(), -1),
    "linalg_inv": (lambda x: torch.linalg.inv(x[:, :, :4]), -1),
    "pinverse": (lambda x: x[0].pinverse(), -1),
    "linalg_pinv": (lambda x: torch.linalg.pinv(x[0]), -1),
    "einsum of three signals": (lambda x: torch.einsum("bct,bct,bc->bc", x, x, x[:, :, 0]), 3),
    "einsum of two signals and a constant": (lambda x: torch.einsum("bct,bdt,tk->bcdk", x, x * 2, KERNEL), 2),
    "einsum by lists of signals": (lambda x: torch.einsum(x, [0, 1, 2], x, [0, 3, 2]), 2),
    "tensordot of two": (lambda x: torch.tensordot(x, x, 2 * [[0, 2]]), 2),
    "outer of two": (lambda x: torch.outer(x[0, 0], x[1, 0]), 2),
    "kron of two": (lambda x: torch.kron(x[0], x[1]), 2),
    "cross of two": (lambda x: torch.cross(x[:, :, :3], x[:, :, 3:], dim=-1), 2),
    "linalg_multi_dot of three": (lambda x: torch.linalg.multi_dot([x[0], x[1].T, x[0]]), 3),
    "addcmul": (lambda x: torch.addcmul(x.flip(-1) ** 2, x, x.flip(1), value=0.5), 2),
    "addr": (lambda x: torch.addr(x[0, :, :4] ** 2, x[0, :, 0], x[1, :, 1], beta=2, alpha=3), 2),
    "addbmm": (lambda x: torch.addbmm(x[0, :, :4] ** 2, x, x.mT), 2),
    "baddbmm of signals": (lambda x: torch.baddbmm(x[:, :, :4] ** 2, x, x.mT, beta=0.5), 2),
}  # fmt: skip

# The ledger has to close; what takes which part is proved elsewhere.
OTHERS: dict[str, Function] = {
    "polar": lambda x: parts(torch.polar(x, K)),
    "odd parts side by side": lambda x: torch.cat([x[0, 0, :1], parts(as_complex(x)).flatten()]),
    "max_unpool, overlapping": lambda x: F.max_unpool1d(*F.max_pool1d(x, 3, 1, return_indices=True), 3, 1),
    "scatter, added": both(lambda a, b: a.scatter(1, torch.zeros(2, 2, 6).long(), b, reduce="add")),
    "scatter_, added": overwritten(
        lambda x: x.scatter_(1, torch.zeros(2, 2, 6).long(), x[:, 2:] * 1, reduce="add")
    ),
    "cumprod": lambda x: x.cumprod(-1),
    "cumprod_": overwritten(lambda x: x.cumprod_(1)),
    "var_mean": lambda x: torch.cat(torch.var_mean(x, -1, correction=0)),
    "var_mean, unbiased": lambda x: torch.stack(torch.var_mean(x, False)),
    "corrcoef": lambda x: torch.corrcoef(x[0]),
    "cosine_similarity": both(lambda a, b: F.cosine_similarity(a, b, dim=-1)),
    "cosine_similarity with a constant": lambda x: F.cosine_similarity(x, K, dim=-1),
    "pairwise_distance": both(lambda a, b: F.pairwise_distance(a, b)),
    "pairwise_distance to a constant": lambda x: F.pairwise_distance(x, K, keepdim=True),
    "cdist to constants": lambda x: torch.cdist(x, POINTS),
    "hypot with a constant": lambda x: torch.hypot(x, K),
    "dist to a constant": lambda x: torch.dist(x, K),
    "renorm": lambda x: torch.renorm(x, 2, 1, 1.0),
    "renorm_": overwritten(lambda x: x.renorm_(2, 0, 2.0)),
    "logsumexp": lambda x: x.logsumexp(-1, keepdim=True),
    "special_logsumexp": lambda x: torch.special.logsumexp(x, (1, 2)),
    "logsumexp of masked": lambda x: torch.cat([x, torch.full_like(x, -torch.inf)], 1).logsumexp(1),
    "logcumsumexp": lambda x: x.logcumsumexp(-1),
    "logaddexp": both(torch.logaddexp),
    "logaddexp with a constant": lambda x: torch.logaddexp(x, ROW),
    "logaddexp2": both(torch.logaddexp2),
    "linalg_eigh": lambda x: torch.linalg.eigh(symmetric(x))[0],
    "linalg_eigvalsh": lambda x: torch.linalg.eigvalsh(symmetric(x)),
    "linalg_eigvalsh of the upper half": lambda x: torch.linalg.eigvalsh(x[:, :, :4], UPLO="U"),
    "logarithm of a matrix": lambda x: _logarithm(symmetric(x)),
    "cholesky": lambda x: symmetric(x).cholesky(),
    "linalg_cholesky": lambda x: torch.linalg.cholesky(symmetric(x)),
    "linalg_solve by a signal": lambda x: torch.linalg.solve(symmetric(x), x),
    "scatter_reduce amax onto a constant": lambda x: K.scatter_reduce(1, torch.zeros(2, 4, 6).long(), x, "amax"),
    "scatter_reduce_": overwritten(
        lambda x: x.scatter_reduce_(1, torch.zeros(2, 2, 6).long(), K[:, :2], "amin", include_self=True)
    ),
    "index_reduce onto a constant": lambda x: K.index_reduce(1, torch.tensor([1, 1]), x[:, :2], "amax"),
    "put": lambda x: x.put(torch.tensor([3, 4]), ROW[:2]),
    "put_": overwritten(lambda x: x.put_(torch.tensor([3, 4]), ROW[:2])),
    "fill_diagonal_": overwritten(lambda x: x[0].fill_diagonal_(2.0)),
    "block_diag": lambda x: torch.block_diag(x[0], KERNEL, x[1]),
    "cartesian_prod": lambda x: torch.cartesian_prod(x[0, 0], ROW),
    "maximum with a constant": lambda x: torch.maximum(x, K),
    "minimum with a constant": lambda x: torch.minimum(K, x),
    "max with a constant": lambda x: torch.max(x, ROW),
    "fmax with a constant": lambda x: torch.fmax(x, ROW),
    "clamp by constants": lambda x: x.clamp(-ROW.abs(), ROW.abs()),
    "clamp by a signal": lambda x: x.clamp(min=x.amax((1, 2), keepdim=True) - 0.8),
    "clamp_max by a signal": lambda x: x.clamp_max(x.mean(-1, keepdim=True)),
    "pow by constants": lambda x: (x.abs() + 0.1).pow(ROW),
    "pow by one constant": lambda x: (x.abs() + 0.1) ** torch.tensor([0.5], dtype=torch.float64),
    "pow of constants": lambda x: torch.pow(ROW.abs(), x),
    "__rpow__": lambda x: 2.0**x,
    "pow of two": both(lambda a, b: (a.abs() + 0.1) ** b),
    "float_power": lambda x: torch.float_power(x.abs() + 0.1, 0.3),
    "xlogy": both(lambda a, b: torch.xlogy(a, b.abs() + 0.1)),
    "special_xlogy": lambda x: torch.special.xlogy(2.0, x.abs() + 0.1),
    "special_xlog1py": lambda x: torch.special.xlog1py(x, x.abs()),
    "special_xlog1py of 0": lambda x: torch.special.xlog1py(torch.zeros_like(x), x.abs()),
    "copysign of two": both(torch.copysign),
    "igamma": lambda x: torch.igamma(ROW.abs() + 0.1, x.abs() + 0.1),
    "igammac": lambda x: torch.igammac(ROW.abs() + 0.1, x.abs() + 0.1),
    "nan_to_num of an infinity": lambda x: torch.where(x > 1, torch.inf, x).nan_to_num(posinf=3.0),
    "division of constants": lambda x: K / (x.abs() + 1),
    "rsqrt as a gate": both(lambda a, b: a * torch.rsqrt(b.square() + 1)),
    "exp of complex numbers": lambda x: parts(as_complex(x).exp()),
    "log of complex numbers": lambda x: parts(as_complex(x).log()),
    "tanh of complex numbers": lambda x: parts(as_complex(x).tanh()),
    "sigmoid of complex numbers": lambda x: parts(as_complex(x).sigmoid()),
    "pow of complex numbers": lambda x: parts(as_complex(x) ** COMPLEX),
    "add a complex constant": lambda x: parts(as_complex(x) + COMPLEX),
    "cat with a complex constant": lambda x: parts(torch.cat([as_complex(x)[0], COMPLEX])),
    "polar of two": both(lambda a, b: parts(torch.polar(a, b))),
    "polar of an angle": lambda x: parts(torch.polar(K.abs(), x)),
    "angle": lambda x: torch.polar(as_complex(x).abs(), as_complex(x).angle()).real,
    "atan2": lambda x: x + torch.atan2(x, x.flip(-1)),
    "arctan2": lambda x: x + torch.arctan2(x, x.flip(-1)),
    "arctan2_": overwritten(lambda x: (x[:, 1].arctan2_(K[:, 1]), None)[1]),
    "decibels": lambda x: 10 * torch.log10(torch.clamp(framed(x).abs() ** 2, min=1e-10)),
    "mel decibels of the maximum less 80": lambda x: _decibels(framed(x).abs() ** 2),
    "PCEN": lambda x: _per_channel_energy(framed(x).abs()),
    "vander": lambda x: torch.vander(x[0, 0], 3),
    "linalg_vander": lambda x: torch.linalg.vander(x, N=4),
    "addcdiv": lambda x: torch.addcdiv(x, K, x.abs() + 1, value=2),
    "addcmul with constants": lambda x: torch.addcmul(K, x, K, value=0.5),
    "addcmul_": overwritten(lambda x: x.addcmul_(x.flip(-1), K)),
    "addr with constants": lambda x: torch.addr(KERNEL[:4, :4], x[0, :, 0], K[0, :, 0]),
    "addmm by a sparse constant": lambda x: torch.addmm(ROW[:4], GRAPH.to_sparse(), x[0].T),
    "conv1d with a bias that is a signal": lambda x: F.conv1d(x, constant_kernel(3, 4, 3), x[0, :3, 0]),
    "conv_transpose1d with such a bias": lambda x: F.conv_transpose1d(x, constant_kernel(4, 2, 3), x[0, :2, 0]),
    "linear with such a bias": lambda x: F.linear(x, KERNEL, x[0, 0]),
    "bilinear with such a bias": lambda x: F.bilinear(x, K, constant_kernel(2, 6, 6), x[0, 0, :2]),
    "layer_norm with weights of signals": lambda x: F.layer_norm(x, (6,), x[0, 0], x[0, 1]),
    "group_norm with weights of signals": lambda x: F.group_norm(x, 2, x[0, :, 0], x[0, :, 1]),
    "rms_norm with weights of signals": lambda x: F.rms_norm(x, (6,), x[0, 0]),
    "batch_norm with weights of signals": lambda x: F.batch_norm(
        x, ROW[:4], ROW[:4].abs(), x[0, :, 0], x[0, :, 1], eps=0.1
    ),
    "instance_norm as an operator": lambda x: torch.instance_norm(
        x, ROW[:4], ROW[1:5], None, None, True, 0.1, 1e-5, False
    ),
    "embedding of a signal": lambda x: F.embedding(torch.tensor([[0, 2]]), x[0]),
    "embedding_bag of a signal": lambda x: F.embedding_bag(torch.tensor([[0, 2], [1, 1]]), x[0], mode="sum"),
    "sampling of a constant": lambda x: x + F.grid_sample(
        image(K), torch.tanh(x.reshape(2, 3, 4, 2)), align_corners=False
    ).reshape(2, 3, 4)[:, :1].repeat(1, 4, 2)[..., :6],
    "norm of p = 0": lambda x: x + torch.norm(x, 0, -1, keepdim=True) + torch.cdist(x, x, p=0).sum(),
    "matrix_power of 0": lambda x: x[:, :, :4] + torch.matrix_power(x[:, :, :4], 0),
}  # fmt: skip


def _logarithm(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag_embed(values.log()) @ vectors.mT


def _decibels(power: Tensor) -> Tensor:
    level = 10 * torch.log10(torch.maximum(power, torch.tensor(1e-10, dtype=power.dtype)))
    return torch.maximum(level, level.amax((1, 2), keepdim=True) - 30)


def _per_channel_energy(energy: Tensor) -> Tensor:
    smooth = [energy[..., 0]]
    for t in range(1, energy.shape[-1]):
        smooth.append(0.9 * smooth[-1] + 0.1 * energy[..., t])
    gain = (torch.stack(smooth, -1) + 1e-6) ** -torch.full((5, 1), 0.9, dtype=energy.dtype)
    return (energy * gain + 2.0) ** 0.5 - 2.0**0.5

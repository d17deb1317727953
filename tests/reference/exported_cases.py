"""Operators as exported programs call them, beside the function whose relevance they must get."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .operation_cases import INDEX, KERNEL, ROW, Function, K, constant_kernel, image, overwritten, volume

aten = torch.ops.aten
C1, C2, CT = constant_kernel(3, 4, 3), constant_kernel(2, 1, 2, 2), constant_kernel(4, 2, 3)
MEAN, VAR, SCALE, SHIFT = ROW[:4], ROW[:4].abs(), ROW[1:5], ROW[2:6]

EXPORTED: dict[str, tuple[Function, Function]] = {
    "convolution": (
        lambda x: aten.convolution(x, C1, ROW[:3], [1], [1], [1], False, [0], 1),
        lambda x: F.conv1d(x, C1, ROW[:3], padding=1),
    ),
    "convolution of images": (
        lambda x: aten.convolution.default(image(x), C2, None, [1, 2], [0, 0], [1, 1], False, [0, 0], 1),
        lambda x: F.conv2d(image(x), C2, stride=(1, 2)),
    ),
    "_convolution": (
        lambda x: aten._convolution(x, C1, None, [1], [1], [1], False, [0], 1, False, False, True, True),
        lambda x: F.conv1d(x, C1, padding=1),
    ),
    "transposed convolution": (
        lambda x: aten.convolution.default(x, CT, ROW[:2], [2], [0], [1], True, [1], 1),
        lambda x: F.conv_transpose1d(x, CT, ROW[:2], stride=2, output_padding=1),
    ),
    "batch_norm": (
        lambda x: aten.batch_norm.default(x, SCALE, SHIFT, MEAN, VAR, False, 0.1, 1e-5, True),
        lambda x: F.batch_norm(x, MEAN, VAR, SCALE, SHIFT),
    ),
    "native_batch_norm": (
        lambda x: aten.native_batch_norm.default(x, SCALE, SHIFT, MEAN, VAR, False, 0.1, 1e-5)[0],
        lambda x: F.batch_norm(x, MEAN, VAR, SCALE, SHIFT),
    ),
    "_native_batch_norm_legit": (
        lambda x: aten._native_batch_norm_legit.default(x, SCALE, SHIFT, MEAN, VAR, False, 0.1, 1e-5)[0],
        lambda x: F.batch_norm(x, MEAN, VAR, SCALE, SHIFT),
    ),
    "_native_batch_norm_legit without statistics": (
        lambda x: aten._native_batch_norm_legit.no_stats(x, SCALE, SHIFT, True, 0.1, 1e-5)[0],
        lambda x: F.batch_norm(x, None, None, SCALE, SHIFT, True),
    ),
    "_native_batch_norm_legit_no_training": (
        lambda x: aten._native_batch_norm_legit_no_training.default(x, SCALE, SHIFT, MEAN, VAR, 0.1, 1e-5)[0],
        lambda x: F.batch_norm(x, MEAN, VAR, SCALE, SHIFT),
    ),
    "_batch_norm_no_update": (
        lambda x: aten._batch_norm_no_update.default(x, SCALE, SHIFT, MEAN, VAR, 0.1, 1e-5)[0],
        lambda x: F.batch_norm(x, MEAN, VAR, SCALE, SHIFT),
    ),
    "layer_norm": (
        lambda x: aten.layer_norm.default(x, [6], ROW, ROW * 2, 1e-5, True),
        lambda x: F.layer_norm(x, (6,), ROW, ROW * 2),
    ),
    "native_layer_norm": (
        lambda x: aten.native_layer_norm.default(x, [6], ROW, ROW * 2, 1e-5)[0],
        lambda x: F.layer_norm(x, (6,), ROW, ROW * 2),
    ),
    "native_group_norm": (
        lambda x: aten.native_group_norm.default(x, SCALE, SHIFT, 2, 4, 6, 2, 1e-5)[0],
        lambda x: F.group_norm(x, 2, SCALE, SHIFT),
    ),
    "_fused_rms_norm": (
        lambda x: aten._fused_rms_norm.default(x, [6], ROW, 1e-5)[0],
        lambda x: F.rms_norm(x, (6,), ROW, 1e-5),
    ),
    "addmm": (lambda x: aten.addmm.default(ROW, x[0], KERNEL), lambda x: F.linear(x[0], KERNEL.T, ROW)),
    "slice": (lambda x: aten.slice.Tensor(x, 1, 1, 3), lambda x: x[:, 1:3]),
    "select": (lambda x: aten.select.int(x, 1, 2), lambda x: x[:, 2]),
    "index": (lambda x: aten.index.Tensor(x, [None, INDEX]), lambda x: x[:, INDEX]),
    "view": (lambda x: aten.view.default(x, [2, 24]), lambda x: x.reshape(2, 24)),
    "_unsafe_view": (lambda x: aten._unsafe_view.default(x, [2, 24]), lambda x: x.reshape(2, 24)),
    "permute": (lambda x: aten.permute.default(x, [0, 2, 1]), lambda x: x.mT),
    "_to_copy": (lambda x: aten._to_copy.default(x, dtype=torch.float64), lambda x: x * 1),
    "lift_fresh_copy": (lambda x: aten.lift_fresh_copy.default(x), lambda x: x * 1),
    "max_pool2d_with_indices": (
        lambda x: aten.max_pool2d_with_indices.default(image(x), [2, 2], [2, 2])[0],
        lambda x: F.max_pool2d(image(x), 2),
    ),
    "avg_pool1d": (lambda x: aten.avg_pool1d.default(x, [2], [2]), lambda x: F.avg_pool1d(x, 2)),
    "_adaptive_avg_pool2d": (
        lambda x: aten._adaptive_avg_pool2d.default(image(x), [2, 3]),
        lambda x: F.adaptive_avg_pool2d(image(x), (2, 3)),
    ),
    "_adaptive_avg_pool3d": (
        lambda x: aten._adaptive_avg_pool3d.default(volume(x), [1, 2, 3]),
        lambda x: F.adaptive_avg_pool3d(volume(x), (1, 2, 3)),
    ),
    "mean": (lambda x: aten.mean.dim(x, [1], True), lambda x: x.mean(1, True)),
    "constant_pad_nd": (lambda x: aten.constant_pad_nd.default(x, [1, 2], 0.5), lambda x: F.pad(x, (1, 2), value=0.5)),
    "reflection_pad1d": (lambda x: aten.reflection_pad1d.default(x, [1, 2]), lambda x: F.pad(x, (1, 2), "reflect")),
    "reflection_pad2d": (
        lambda x: aten.reflection_pad2d.default(image(x), [1, 2, 1, 1]),
        lambda x: F.pad(image(x), (1, 2, 1, 1), "reflect"),
    ),
    "reflection_pad3d": (
        lambda x: aten.reflection_pad3d.default(volume(x), [1, 2, 1, 1, 1, 1]),
        lambda x: F.pad(volume(x), (1, 2, 1, 1, 1, 1), "reflect"),
    ),
    "replication_pad1d": (lambda x: aten.replication_pad1d.default(x, [1, 2]), lambda x: F.pad(x, (1, 2), "replicate")),
    "replication_pad2d": (
        lambda x: aten.replication_pad2d.default(image(x), [1, 2, 1, 1]),
        lambda x: F.pad(image(x), (1, 2, 1, 1), "replicate"),
    ),
    "replication_pad3d": (
        lambda x: aten.replication_pad3d.default(volume(x), [1, 2, 1, 1, 1, 1]),
        lambda x: F.pad(volume(x), (1, 2, 1, 1, 1, 1), "replicate"),
    ),
    "_pad_circular": (lambda x: aten._pad_circular.default(x, [1, 2]), lambda x: F.pad(x, (1, 2), "circular")),
    "upsample_linear1d": (
        lambda x: aten.upsample_linear1d.default(x, [9], False),
        lambda x: F.interpolate(x, size=9, mode="linear"),
    ),
    "split_with_sizes": (lambda x: aten.split_with_sizes.default(x, [2, 4], 2)[1], lambda x: x[:, :, 2:]),
    "copy": (lambda x: aten.copy.default(K, x[:, :1]), lambda x: x[:, :1].expand(2, 4, 6)),
    "slice_scatter": (
        lambda x: aten.slice_scatter.default(K, x[:, :2], 1, 0, 2),
        lambda x: torch.cat([x[:, :2], K[:, 2:]], 1),
    ),
    "index_put": (
        lambda x: aten.index_put.default(x, [INDEX[:2] % 2], K, True),
        lambda x: x + K.flip(0),
    ),
    "_unsafe_index": (lambda x: aten._unsafe_index.Tensor(x, [None, INDEX]), lambda x: x[:, INDEX]),
    "_unsafe_index_put": (
        lambda x: aten._unsafe_index_put.default(x, [torch.tensor([1])], K[:1]),
        lambda x: torch.cat([x[:1], K[:1]]),
    ),
    "log_sigmoid_forward": (lambda x: aten.log_sigmoid_forward.default(x)[0], F.logsigmoid),
    "native_dropout": (lambda x: aten.native_dropout.default(x, 0.5, False)[0], lambda x: x * 1),
    "_conj": (lambda x: torch.view_as_real(aten._conj(torch.complex(x, x)).resolve_conj()),
              lambda x: torch.view_as_real(torch.complex(x, -x))),
    "_fft_r2c": (lambda x: aten._fft_r2c.default(x, [2], 0, True).abs(), lambda x: torch.fft.rfft(x).abs()),
    "_fft_c2c": (
        lambda x: aten._fft_c2c.default(torch.complex(x, x), [2], 0, True).abs(),
        lambda x: torch.fft.fft(torch.complex(x, x)).abs(),
    ),
    "_fft_c2r": (
        lambda x: aten._fft_c2r.default(torch.complex(x, x), [2], 0, 10),
        lambda x: torch.fft.irfft(torch.complex(x, x), norm="forward"),
    ),
    "_linalg_eigh": (
        lambda x: aten._linalg_eigh.default(x @ x.mT)[0],
        lambda x: torch.linalg.eigvalsh(x @ x.mT),
    ),
    "_linalg_svd": (lambda x: aten._linalg_svd.default(x)[1], torch.linalg.svdvals),
    "_cdist_forward": (lambda x: aten._cdist_forward.default(x, K, 2.0, None), lambda x: torch.cdist(x, K)),
    "_pdist_forward": (lambda x: aten._pdist_forward.default(x[0], 2.0), lambda x: F.pdist(x[0])),
    "_prelu_kernel": (
        lambda x: aten._prelu_kernel.default(x, ROW[0].abs().reshape(1, 1, 1)),
        lambda x: F.prelu(x, ROW[:1].abs()),
    ),
    "var": (lambda x: aten.var.correction(x, [2], correction=0), lambda x: x.var(2, correction=0)),
    "pow": (lambda x: aten.pow.Tensor_Scalar(x, 2), torch.square),
    "zeros, filled in place": (
        overwritten(lambda x: aten.copy_.default(x, x * 2 + 1)),
        lambda x: x * 2 + 1,
    ),
}  # fmt: skip

# Copies rather than views; each is the move of the same name.
COPIES: dict[str, Function] = {
    "view_copy": lambda x: aten.view_copy.default(x, [2, 24]),
    "_reshape_alias": lambda x: aten._reshape_alias.default(x, [2, 24], [24, 1]),
    "_reshape_alias_copy": lambda x: torch._reshape_alias_copy(x, [2, 24], [24, 1]),
    "expand_copy": lambda x: torch.expand_copy(x[:, :1], [2, 4, 6]),
    "permute_copy": lambda x: torch.permute_copy(x, (2, 0, 1)),
    "transpose_copy": lambda x: torch.transpose_copy(x, 1, 2),
    "t_copy": lambda x: torch.t_copy(x[0]),
    "squeeze_copy": lambda x: torch.squeeze_copy(x[:1]),
    "unsqueeze_copy": lambda x: torch.unsqueeze_copy(x, 1),
    "select_copy": lambda x: torch.select_copy(x, 1, 2),
    "slice_copy": lambda x: torch.slice_copy(x, 1, 1, 3),
    "split_copy": lambda x: torch.split_copy(x, 3, -1)[0],
    "split_with_sizes_copy": lambda x: torch.split_with_sizes_copy(x, [2, 4], -1)[1],
    "unsafe_split_with_sizes": lambda x: torch.unsafe_split_with_sizes(x, [2, 4], -1)[1],
    "unbind_copy": lambda x: torch.unbind_copy(x, 1)[2],
    "unfold_copy": lambda x: torch.unfold_copy(x, -1, 3, 2),
    "alias_copy": lambda x: torch.alias_copy(x),
    "diagonal_copy": lambda x: torch.diagonal_copy(x, 0, 1, 2),
    "as_strided_copy": lambda x: torch.as_strided_copy(x, (2, 3), (1, 2)),
    "linalg_diagonal": lambda x: torch.linalg.diagonal(x),
    "diagflat": lambda x: torch.diagflat(x[0, 0]),
    "meshgrid": lambda x: torch.stack(torch.meshgrid(x[0, 0], x[0, 1], indexing="ij")),
    "combinations": lambda x: torch.combinations(x[0, 0]),
    "to_dense": lambda x: x.to_dense(),
    "lift_fresh": lambda x: aten.lift_fresh.default(x),
    "row_stack": lambda x: torch.row_stack([x[0], x[1]]),
    "swapdims_": overwritten(lambda x: x.swapdims_(1, 2)),
    "as_strided_": overwritten(lambda x: x.as_strided_((2, 3), (1, 2))),
}  # fmt: skip

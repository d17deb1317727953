"""Classifiers of signals that other people wrote, small and with random weights; nothing is downloaded.

Each source is a dict of name -> function without arguments that returns a model and its batch of two samples (a tensor,
a tuple of positional arguments or a dict of keyword arguments). A source whose package is not installed is empty.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

Zoo = dict[str, Callable[[], tuple[nn.Module, Any]]]

SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "num_labels": 5}
WAVE = {
    "conv_dim": (16, 16, 16), "conv_kernel": (10, 3, 3), "conv_stride": (5, 2, 2), "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 15, "num_conv_pos_embedding_groups": 4, "classifier_proj_size": 16,
}  # fmt: skip
CLIP = {"image_size": 16, "patch_size": 8, "num_frames": 4}
SERIES = {"num_input_channels": 3, "context_length": 64, "patch_length": 8, "d_model": 16, "num_targets": 5}
PATCHES = {**SERIES, "stride": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 24}
MIXER = {**SERIES, "patch_stride": 8, "num_layers": 2}
WHISPER = {
    "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 48, "num_mel_bins": 16,
    "max_source_positions": 30, "num_labels": 5, "classifier_proj_size": 16, "vocab_size": 60, "pad_token_id": 0,
}  # fmt: skip

# name: (class, configuration, name and shape of the input, whether both eager and sdpa attention exist)
CONFIGURATIONS: dict[str, tuple[str, dict[str, Any], tuple[str, tuple[int, ...]], bool]] = {
    "wav2vec2": ("Wav2Vec2ForSequenceClassification", {**SIZE, **WAVE}, ("input_values", (2, 1600)), True),
    "wav2vec2 layer norm": (
        "Wav2Vec2ForSequenceClassification",
        {**SIZE, **WAVE, "do_stable_layer_norm": True, "feat_extract_norm": "layer", "use_weighted_layer_sum": True},
        ("input_values", (2, 1600)),
        True,
    ),
    "hubert": ("HubertForSequenceClassification", {**SIZE, **WAVE}, ("input_values", (2, 1600)), True),
    "wavlm": ("WavLMForSequenceClassification", {**SIZE, **WAVE}, ("input_values", (2, 1600)), False),
    "ast": (
        "ASTForAudioClassification",
        {**SIZE, "patch_size": 8, "frequency_stride": 8, "time_stride": 8, "max_length": 40, "num_mel_bins": 16},
        ("input_values", (2, 40, 16)),
        True,
    ),
    "whisper encoder": ("WhisperForAudioClassification", WHISPER, ("input_features", (2, 16, 60)), True),
    "videomae": (
        "VideoMAEForVideoClassification",
        {**SIZE, **CLIP, "tubelet_size": 2},
        ("pixel_values", (2, 4, 3, 16, 16)),
        True,
    ),
    "timesformer divided": (
        "TimesformerForVideoClassification",
        {**SIZE, **CLIP},
        ("pixel_values", (2, 4, 3, 16, 16)),
        False,
    ),
    "timesformer joint": (
        "TimesformerForVideoClassification",
        {**SIZE, **CLIP, "attention_type": "joint_space_time"},
        ("pixel_values", (2, 4, 3, 16, 16)),
        False,
    ),
    "vivit": (
        "VivitForVideoClassification",
        {**SIZE, **CLIP, "tubelet_size": (2, 8, 8)},
        ("pixel_values", (2, 4, 3, 16, 16)),
        True,
    ),
    "patchtst": ("PatchTSTForClassification", PATCHES, ("past_values", (2, 64, 3)), True),
    "patchtst class token": (
        "PatchTSTForClassification",
        {**PATCHES, "use_cls_token": True, "norm_type": "layernorm", "scaling": None},
        ("past_values", (2, 64, 3)),
        True,
    ),
    "patchtsmixer": ("PatchTSMixerForTimeSeriesClassification", MIXER, ("past_values", (2, 64, 3)), False),
    "patchtsmixer attention": (
        "PatchTSMixerForTimeSeriesClassification",
        {**MIXER, "mode": "mix_channel", "self_attn": True, "self_attn_heads": 2},
        ("past_values", (2, 64, 3)),
        False,
    ),
}


def transformers() -> Zoo:
    """Classifiers of Hugging Face transformers, each with every kind of attention that it has."""
    if find_spec("transformers") is None:
        return {}
    package = import_module("transformers")

    def maker(name: str, attention: str) -> Callable[[], tuple[nn.Module, Any]]:
        class_name, options, (argument, shape), _ = CONFIGURATIONS[name]

        def make() -> tuple[nn.Module, Any]:
            model_class = getattr(package, class_name)
            config = model_class.config_class(**options)
            config._attn_implementation = attention
            return model_class(config), {argument: torch.randn(shape)}

        return make

    return {
        f"{name} {attention}" if both else name: maker(name, attention)
        for name, (*_, both) in CONFIGURATIONS.items()
        for attention in (("eager", "sdpa") if both else ("eager",))
    }


def braindecode() -> Zoo:
    """Models of braindecode: EEG of 22 channels, 4 s at 250 Hz, four classes."""
    with contextlib.suppress(ImportError):
        models = import_module("braindecode.models.util").models_dict
        montage = import_module("mne").channels.make_standard_montage("standard_1020")
        info = import_module("mne").create_info(montage.ch_names[:22], 250.0, "eeg").set_montage(montage)
        shape = {"n_chans": 22, "n_outputs": 4, "n_times": 1000, "sfreq": 250.0, "chs_info": info["chs"]}
        return {name: lambda kind=kind: (kind(**shape), torch.randn(2, 22, 1000)) for name, kind in models.items()}
    return {}


class Averaged(nn.Module):
    """A block between sequences, made a classifier of the mean over time."""

    def __init__(self, block: nn.Module, channels: int, channels_first: bool = False) -> None:
        super().__init__()
        self.block, self.head, self.dim = block, nn.Linear(channels, 4), 2 if channels_first else 1

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, 4) for a sequence."""
        return self.head(self.block(x).mean(self.dim))


def blocks() -> Zoo:
    """Blocks of small packages: conformer, mambapy, pytorch-tcn and x-transformers."""
    zoo: Zoo = {}
    if find_spec("conformer"):
        block = import_module("conformer").ConformerBlock
        zoo["conformer"] = lambda: (
            Averaged(nn.Sequential(*(block(dim=32, dim_head=8, heads=4, ff_mult=2) for _ in range(2))), 32),
            torch.randn(2, 16, 32),
        )
    if find_spec("mambapy"):
        mamba = import_module("mambapy.mamba")
        for scan in (True, False):
            config = mamba.MambaConfig(d_model=32, n_layers=2, pscan=scan)
            zoo[f"mambapy {'parallel' if scan else 'sequential'}"] = lambda config=config: (
                Averaged(mamba.Mamba(config), 32),
                torch.randn(2, 16, 32),
            )
    if find_spec("pytorch_tcn"):
        tcn = import_module("pytorch_tcn").TCN
        for gate in (False, True):
            zoo[f"pytorch-tcn{' gated' if gate else ''}"] = lambda gate=gate: (
                Averaged(tcn(5, [8, 8], kernel_size=3, use_gate=gate, use_skip_connections=gate), 8, True),
                torch.randn(2, 5, 30),
            )
    if find_spec("x_transformers"):
        package = import_module("x_transformers")
        for options in (
            {}, {"ff_glu": True}, {"use_rmsnorm": True}, {"rotary_pos_emb": True}, {"alibi_pos_bias": True},
            {"rel_pos_bias": True}, {"attn_flash": True}, {"attn_qk_norm": True}, {"attn_pre_talking_heads": True},
            {"gate_residual": True}, {"attn_num_mem_kv": 3}, {"macaron": True}, {"ff_relu_squared": True},
        ):  # fmt: skip
            name = " ".join(["x-transformers", *options])
            zoo[name] = lambda options=options: (
                package.ContinuousTransformerWrapper(
                    dim_in=5,
                    dim_out=4,
                    max_seq_len=32,
                    attn_layers=package.Encoder(dim=32, depth=2, heads=4, attn_dim_head=8, **options),
                ),
                torch.randn(2, 16, 5),
            )
    return zoo


SOURCES: dict[str, Callable[[], Zoo]] = {"transformers": transformers, "braindecode": braindecode, "blocks": blocks}

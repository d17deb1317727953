"""Trains the small nets on spoken digits, and reads the weights that came with signalrp.

``python -m signalrp.domains.audio.train FOLDER`` makes the weights anew: for each net and each of the six speakers of
the Free Spoken Digit Dataset (CC BY-SA 4.0) one net that never heard that speaker. Seed 0, one thread, some minutes in
all. Those that came with signalrp, in ``domains/audio/weights``, were made by this command.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from signalrp.training import fit_classifier

from .data import classes_of
from .datasets import digits
from .frontends import FrontEnd, LogPower, MelSpectrogram
from .models import DEFAULTS, MODELS, REPRESENTATION, TRAINING

__all__ = ["SPEAKERS", "accuracy", "fit", "front_end", "prepared", "pretrained"]

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
"""Speakers of the Free Spoken Digit Dataset."""
_SHAPES = {"waveform": (1, 8000), "spectrogram": (1, 40, 101)}
_DIGITS = 10


def front_end(sfreq: float = 8000.0) -> FrontEnd:
    """Return the spectrogram that the small nets take: power in 40 mel bands, in dB, of which silence is 0.

    Windows of 32 ms every 10 ms. ``nn.Sequential(front_end(), net)`` takes waveforms, and relevance reaches them.
    """
    mel = MelSpectrogram(sfreq, round(0.032 * sfreq), round(0.010 * sfreq), 40)
    return LogPower(mel, ref="silence", amin=1e-6, top_db=None)


def prepared(name: str, signal: xr.DataArray) -> xr.DataArray:
    """Return what a net of `MODELS` takes of clips: the waveforms themselves, or their spectrograms.

    Parameters
    ----------
    name : str
        One of the nets but ``"alexnet"``, which has a spectrogram of its own (`signalrp.domains.audio.becker`).
    signal : xarray.DataArray
        Clips (trial, channel, time).
    """
    if REPRESENTATION[name] == "waveform":
        return signal
    return front_end(float(signal.attrs["sfreq"])).apply_to(signal)


def fit(name: str, signal: xr.DataArray, seed: int = 0) -> nn.Module:
    """Train a net of `MODELS` with its settings of `TRAINING`.

    Parameters
    ----------
    name : str
        One of `MODELS`.
    signal : xarray.DataArray
        From :func:`prepared`, with the coordinate ``label`` along trial.
    seed : int
        Of the first weights, the order of the clips and what is changed in them at random.

    Returns
    -------
    torch.nn.Module
        In evaluation mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = MODELS[name](signal.shape[1:], len(classes_of(signal)))
        x, y = _tensor(signal), torch.as_tensor(signal["label"].values.astype(np.int64))
        return fit_classifier(net, x, y, seed=seed, **TRAINING[name])


def accuracy(net: nn.Module, signal: xr.DataArray) -> xr.DataArray:
    """Return for each trial whether the net is right, (trial,) of 0 and 1 with the coordinates of the trials."""
    with torch.no_grad():
        guessed = torch.cat([net(batch).argmax(1) for batch in _tensor(signal).split(64)]).numpy()
    right = (guessed == signal["label"].values).astype(np.float64)
    along = {name: value for name, value in signal.coords.items() if value.dims == ("trial",)}
    return xr.DataArray(right, along, ("trial",), name="correct")


def pretrained(name: str, speaker: str) -> nn.Module:
    """Return a small net for spoken digits that never heard one of the speakers, in evaluation mode.

    Parameters
    ----------
    name : {"raw-small", "spectrogram-small", "crnn"}
        The net; it takes what :func:`prepared` returns of `signalrp.domains.audio.datasets.digits`.
    speaker : str
        One of `SPEAKERS`, who was held out.

    Raises
    ------
    ValueError
        When there are no such weights.
    ImportError
        When safetensors is not installed.
    """
    if name not in DEFAULTS or speaker not in SPEAKERS:
        raise ValueError(
            f"there are weights of {', '.join(DEFAULTS)} without {', '.join(SPEAKERS)}, found {name!r} without "
            f"{speaker!r}; train that net with fit()."
        )
    try:
        from safetensors.torch import load
    except ImportError:
        raise ImportError('reading weights needs safetensors: pip install "signalrp[audio]".') from None
    file = resources.files(__package__).joinpath("weights", f"digits-{name}.safetensors")
    stored = load(file.read_bytes())
    net = MODELS[name](_SHAPES[REPRESENTATION[name]], _DIGITS)
    own = {
        key.removeprefix(f"{speaker}/"): value.float() for key, value in stored.items() if key.startswith(f"{speaker}/")
    }
    net.load_state_dict({**net.state_dict(), **own})
    return net.eval()


def _tensor(signal: xr.DataArray) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(signal.values, dtype=np.float32))


def _halves(net: nn.Module, speaker: str) -> dict[str, Tensor]:
    """Return the weights to be stored, in half precision: rounding them changes no more than a few decisions."""
    return {
        f"{speaker}/{key}": value.half().contiguous()
        for key, value in net.state_dict().items()
        if value.is_floating_point()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the nets that come with signalrp, write their weights, and print what they reach on who was held out."""
    parser = argparse.ArgumentParser(prog="python -m signalrp.domains.audio.train", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the weights go")
    parser.add_argument("--nets", nargs="+", choices=DEFAULTS, default=DEFAULTS)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    from safetensors.torch import save_file

    # The weights are the same on every run only with one thread: sums are taken in another order with more.
    torch.set_num_threads(1)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    signal = digits()
    rows = []
    for name in chosen.nets:
        given = prepared(name, signal)
        stored: dict[str, Tensor] = {}
        for speaker in SPEAKERS:
            held_out = given["speaker"].values == speaker
            begun = time.perf_counter()
            net = fit(name, given.isel(trial=~held_out), chosen.seed)
            seconds = time.perf_counter() - begun
            stored |= _halves(net, speaker)
            right = float(accuracy(net, given.isel(trial=held_out)).mean())
            rows.append({"net": name, "held out": speaker, "accuracy": right, "seconds": seconds})
            print(f"{name} without {speaker}: {right:.3f} in {seconds:.0f} s", flush=True)
        save_file(stored, chosen.folder / f"digits-{name}.safetensors", {"seed": str(chosen.seed)})
    table = pd.DataFrame(rows)
    print(table.groupby("net")["accuracy"].mean().to_string())
    table.to_csv(chosen.folder / "accuracy.csv", index=False)


if __name__ == "__main__":
    main()

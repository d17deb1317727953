import numpy as np
import pytest
import torch
from reference.video_loops import LAYOUTS, clips
from torch import nn

from signalrp.domains.video.forward import fast_clips, fast_forward, forward_table
from signalrp.validation import bootstrap_interval, paired_difference


class Change(nn.Module):
    """Class 1 where the last frame is brighter than the first one by more than the noise of a class."""

    def __init__(self, axis, bias=0.0):
        super().__init__()
        self.axis, self.bias = axis, nn.Parameter(torch.tensor(bias, dtype=torch.float64))

    def forward(self, x):
        other = [axis for axis in range(1, x.ndim) if axis != self.axis]
        light = x.mean(other)
        score = light[:, -1] - light[:, 0] + self.bias
        return torch.stack([-score, score], 1)


def brightening(trials=40, frames=31, noise=3.0, layout=LAYOUTS[0], subjects=None, seed=0):
    """Clips that brighten or darken by one unit per frame, each frame with noise of its own."""
    rng = np.random.default_rng(seed)
    label = np.arange(trials) % 2
    ramp = np.where(label, 1.0, -1.0)[:, None] * (np.arange(frames) - frames // 2)
    values = (ramp + noise * rng.standard_normal((trials, frames)))[:, None, :, None, None] * np.ones((1, 2, 1, 2, 2))
    along = {
        "label": ("trial", label),
        "first": ("trial", np.zeros(trials, int)),
        "step": ("trial", np.ones(trials, int)),
    }
    return clips(values, layout, subjects, **along)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_clips_of_every_nth_frame_have_the_same_middle(layout):
    signal = brightening(trials=3, layout=layout)
    for step, first in ((1, 13), (2, 11), (3, 9), (7, 1)):
        fast = fast_clips(signal, step, 5)
        shown = [first + step * number for number in range(5)]
        np.testing.assert_array_equal(fast, signal.isel(frame=shown))
        assert fast.dims == signal.dims
        assert fast["first"].values.tolist() == [first] * 3
        assert fast["step"].values.tolist() == [step] * 3


def test_answers_clip_by_clip():
    signal = brightening(noise=6.0, layout=LAYOUTS[1])
    net = Change(axis=1, bias=0.3).eval()
    found = fast_forward(net, signal, steps=(1, 2, 5), frames=4, batch_size=7)
    light = signal.mean(["rgb", "row", "column"]).values
    label = signal["label"].values
    for number, step in enumerate((1, 2, 5)):
        start = (31 - (3 * step + 1)) // 2
        last = start + 3 * step - 3
        starts = [round(start + (last - start) * part / (step - 1)) if step > 1 else start for part in range(step)]
        for trial in range(40):
            score = light[trial, start + 3 * step] - light[trial, start] + 0.3
            assert found["correct"].values[trial, number] == ((score > 0) == label[trial])
            scores = [light[trial, at + 3] - light[trial, at] + 0.3 for at in starts]
            assert found["averaged"].values[trial, number] == ((np.mean(scores) > 0) == label[trial])
    assert found["step"].values.tolist() == [1, 2, 5]
    assert found["subject"].dims == ("trial",)
    np.testing.assert_array_equal(found["correct"][:, 0], found["averaged"][:, 0])


def test_a_net_that_wants_speed_gains_by_it_and_one_that_does_not_gains_nothing():
    found = fast_forward(Change(axis=2).eval(), brightening(noise=8.0, trials=200), steps=(1, 2, 4), frames=4)
    table = forward_table(found).set_index(["input", "step"])
    fast = table.loc["every n-th frame"]
    assert fast.loc[4, "accuracy"] > fast.loc[1, "accuracy"] + 0.1
    assert fast.loc[4, "difference_low"] > 0
    assert fast.loc[4, "p"] < 0.01
    nothing = []
    for seed in range(20):
        signal = brightening(noise=5.0, seed=seed)
        still = signal.copy(data=np.random.default_rng(seed).permutation(signal.values))
        table = forward_table(fast_forward(Change(axis=2).eval(), still, steps=(1, 4), frames=4)).set_index("step")
        nothing.append(table.loc[4, "p"].iloc[0])
    assert np.mean(np.array(nothing) < 0.05) <= 0.15


def test_table_is_made_of_intervals_and_paired_differences():
    found = fast_forward(Change(axis=2).eval(), brightening(noise=6.0, subjects=8), steps=(3, 1), frames=5)
    table = forward_table(found).set_index(["input", "step"])
    subject = found["subject"].values
    own, first, slow = (found[n].sel(step=s).values for n, s in (("correct", 3), ("correct", 1), ("averaged", 3)))
    row = table.loc[("every n-th frame", 3)]
    interval, difference = bootstrap_interval(own, subject), paired_difference(own, first, subject)
    assert row["accuracy"] == own.mean()
    assert (row["low"], row["high"]) == (interval.low, interval.high)
    np.testing.assert_allclose(row[["difference", "difference_low", "difference_high", "p"]].astype(float), difference)
    assert row["p_averaged"] == paired_difference(own, slow, subject).p
    assert table.loc[("every n-th frame", 1), ["difference", "p"]].isna().all()
    assert table.loc[("all frames, averaged", 3), "accuracy"] == slow.mean()


def test_what_cannot_be_played_is_refused():
    signal, net = brightening(frames=10), Change(axis=2).eval()
    with pytest.raises(ValueError, match="4 frames at a step of 4 need 13"):
        fast_forward(net, signal, steps=(1, 4), frames=4)
    with pytest.raises(ValueError, match="must be at least 1"):
        fast_clips(signal, 0, 4)
    with pytest.raises(ValueError, match="steps is empty"):
        fast_forward(net, signal, steps=())
    with pytest.raises(ValueError, match="as the coordinate label"):
        fast_forward(net, signal.drop_vars("label"), frames=4, steps=(1,))
    with pytest.raises(ValueError, match="training mode"):
        fast_forward(Change(axis=2).train(), signal, frames=4, steps=(1,))
    with pytest.raises(ValueError, match=r"expected \(trial, class\)"):
        fast_forward(nn.Flatten(0).eval(), signal, frames=4, steps=(1,))

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from reference.audio_masking import Weighted, explained
from reference.video_loops import LAYOUTS, clips, in_window, removed

from signalrp.domains.video.motion import motion_magnitude
from signalrp.domains.video.removal import HOW, blurred, close_up, frozen, remove_frames, remove_tubes, swapped
from signalrp.validation import aopc, paired_difference

SIZES = (3, 6, 5, 4)


def linear(weights, values, layout=LAYOUTS[0]):
    """A net that sums clips with weights (rgb, frame, row, column), and its explanation."""
    signal = clips(values, layout)
    turned = clips(weights[None], layout).values[0]
    coords = {name: c.variable for name, c in signal.coords.items() if name != "subject"}
    return Weighted(turned).eval(), explained(signal.values, turned, coords, signal.dims)


@pytest.fixture
def values():
    return np.random.default_rng(0).random((8, *SIZES))


@pytest.fixture
def weights():
    return np.random.default_rng(1).standard_normal(SIZES)


@given(
    frames=st.integers(1, 7),
    layout=st.permutations(["rgb", "frame", "row", "column"]),
    how=st.sampled_from(HOW),
    seed=st.integers(0, 99),
)
def test_fills_frame_by_frame_whatever_the_layout(frames, layout, how, seed):
    rng = np.random.default_rng(seed)
    signal = clips(rng.random((3, 2, frames, 4, 3)), layout)
    gone = [{int(f) for f in np.flatnonzero(rng.random(frames) < 0.5)} for _ in range(3)]
    if how == "dropped":
        gone = [set(sorted(some)[: frames - 1]) for some in gone]
    mask = xr.DataArray([[f in some for f in range(frames)] for some in gone], dims=("trial", "frame"))
    # as perturbation_curves gives it, an expanded view
    view = torch.from_numpy(mask.values).view(3, *[frames if dim == "frame" else 1 for dim in signal.dims[1:]])
    whole, x = view.expand(signal.shape), torch.from_numpy(signal.values)
    if how == "dropped":
        found = close_up(x.masked_fill(whole, torch.nan), signal.dims.index("frame"))
    else:
        fill = {"frozen": lambda: frozen(signal.dims), "swapped": lambda: swapped(signal.dims)}
        made = fill.get(how, lambda: blurred(signal, 1.3))()
        found = torch.where(whole, made(x, whole), x)
        np.testing.assert_array_equal(found, torch.where(whole, made(x, whole.contiguous()), x))
    plain = signal.transpose("trial", "rgb", "frame", "row", "column").values
    expected = np.stack([removed(clip, some, how, 1.3) for clip, some in zip(plain, gone, strict=True)])
    back = xr.DataArray(found.numpy(), dims=signal.dims).transpose("trial", "rgb", "frame", "row", "column")
    np.testing.assert_allclose(back, expected, atol=1e-12)


@pytest.mark.filterwarnings("ignore:All trials have the label")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_frames_go_in_the_order_of_relevance_and_of_motion(values, weights, layout):
    net, explanation = linear(weights, values, layout)
    found = remove_frames(net, explanation, fractions=(1 / 6, 1 / 3, 0.5), sigma=1.0, repeats=2)
    assert tuple(found) == HOW
    assert found["dropped"].attrs["fill"] == "dropped"
    motion = motion_magnitude(clips(values)).values.sum((2, 3))
    for how, curves in found.items():
        assert curves["order"].values.tolist() == ["relevance", "motion", "random"]
        assert curves.attrs["removed"] == f"frames {how}"
        for trial, clip in enumerate(values):
            sign = 1 if (clip * weights).sum() >= 0 else -1
            orders = {"relevance": sign * (clip * weights).sum((0, 2, 3)), "motion": motion[trial]}
            for order, scores in orders.items():
                gone = np.argsort(-scores)
                for step in range(4):
                    left = removed(clip, set(gone[:step].tolist()), how, 1.0)
                    output = curves["output"].sel(order=order).values[0, step, trial]
                    assert output == pytest.approx(sign * (left * weights).sum(), abs=1e-10)


@pytest.mark.filterwarnings("ignore:All trials have the label")
@pytest.mark.parametrize("layout", LAYOUTS[:2])
def test_tubes_go_in_the_order_of_relevance(values, weights, layout):
    net, explanation = linear(weights, values, layout)
    found = remove_tubes(net, explanation, frames=2, size=(3, 2), fractions=(0.25, 0.5), sigma=1.0)
    assert tuple(found) == ("frozen", "blurred")
    assert found["frozen"].attrs["removed"] == "tubes frozen"
    tube = [[[(f // 2) * 4 + (r // 3) * 2 + c // 2 for c in range(4)] for r in range(5)] for f in range(6)]
    tube = np.array(tube)
    for trial, clip in enumerate(values):
        sign = 1 if (clip * weights).sum() >= 0 else -1
        relevance = (sign * clip * weights).sum(0)
        order = np.argsort([-relevance[tube == number].sum() for number in range(12)])
        for step, count in enumerate((0, 3, 6)):
            gone = np.isin(tube, order[:count])
            frozen_clip, soft = clip.copy(), clip.copy()
            for f, r, c in zip(*np.nonzero(gone), strict=True):
                left = [other for other in range(6) if not gone[other, r, c]]
                before = [other for other in left if other < f]
                frozen_clip[:, f, r, c] = clip[:, before[-1] if before else left[0] if left else 0, r, c]
            for f in range(6):
                for colour in range(3):
                    soft[colour, f][gone[f]] = in_window(clip[colour, f], 1.0)[gone[f]]
            for how, changed in (("frozen", frozen_clip), ("blurred", soft)):
                output = found[how]["output"].sel(order="relevance").values[0, step, trial]
                assert output == pytest.approx(sign * (changed * weights).sum(), abs=1e-10)


class Moment(torch.nn.Module):
    """Class by whether a bright spot is at the left or at the right in one frame, and by nothing else."""

    def __init__(self, frame):
        super().__init__()
        self.frame, self.scale = frame, torch.nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x):
        shown = x[:, :, self.frame]
        half = shown.shape[-1] // 2
        return self.scale * torch.stack([shown[..., :half].mean((1, 2, 3)), shown[..., half:].mean((1, 2, 3))], 1)


def spots(trials=24, seed=2):
    rng = np.random.default_rng(seed)
    values = rng.random((trials, 3, 8, 8, 8)) * 0.2
    label = np.arange(trials) % 2
    for trial in range(trials):
        values[trial, :, 5, 3:5, 1 + 5 * label[trial] :][..., :2] += 1
    return clips(values, label=("trial", label))


def asked(net, signal, relevance):
    with torch.no_grad():
        output = net(torch.tensor(signal.values)).numpy()
    variables = {"signal": signal.variable, "relevance": (signal.dims, relevance)}
    variables |= {"output": (("trial", "class"), output), "target": ("trial", output.argmax(1))}
    return xr.Dataset(variables, dict(signal.coords))


@pytest.mark.parametrize("how", ["frozen", "dropped", "blurred", "swapped"])
def test_a_planted_frame_is_found_and_noise_does_no_better_than_chance(how):
    signal, net = spots(), Moment(5).eval()
    right = np.zeros(signal.shape)
    right[:, :, 5] = signal.values[:, :, 5]
    # the motion is that of noise and of the spot; what is planted must beat chance
    curves = remove_frames(net, asked(net, signal, right), how=[how], frames=1, seed=3)[how]
    area = aopc(curves).sel(direction="morf")
    assert paired_difference(area.sel(order="relevance"), area.sel(order="random")).low > 0
    worst = []
    for seed in range(10):
        noise = np.random.default_rng(seed).standard_normal(signal.shape)
        area = aopc(remove_frames(net, asked(net, signal, noise), how=[how], seed=seed, repeats=4)[how])
        area = area.sel(direction="morf")
        worst.append(paired_difference(area.sel(order="relevance"), area.sel(order="random")).p)
    assert np.mean(np.array(worst) < 0.05) <= 0.2


def test_planted_tubes_beat_random_ones():
    signal, net = spots(), Moment(5).eval()
    right = np.zeros(signal.shape)
    right[:, :, 5] = signal.values[:, :, 5] ** 2
    for curves in remove_tubes(net, asked(net, signal, right), frames=2, size=4).values():
        area = aopc(curves).sel(direction="morf")
        assert paired_difference(area.sel(order="relevance"), area.sel(order="random")).low > 0


@pytest.mark.filterwarnings("ignore:All trials have the label")
def test_steps_transform_and_other_orders(values, weights):
    net, explanation = linear(weights, values)
    curves = remove_frames(net, explanation, how=["frozen"])["frozen"]
    np.testing.assert_allclose(curves["step"], [0, 100 / 6, 100 / 3, 50])
    given = xr.DataArray(np.random.default_rng(3).random((8, 6, 5, 4)), dims=("trial", "frame", "row", "column"))
    other = remove_frames(net, explanation, how=["frozen"], motion=given)["frozen"]
    np.testing.assert_array_equal(other["output"].sel(order="relevance"), curves["output"].sel(order="relevance"))
    assert not np.allclose(other["output"].sel(order="motion"), curves["output"].sel(order="motion"))
    half = explanation.assign(output=explanation["output"] / 2)
    for how in ("dropped", "frozen"):
        found = remove_frames(net, half, how=[how], transform=lambda x: x / 2)[how]
        whole = remove_frames(net, explanation, how=[how])[how]
        np.testing.assert_allclose(2 * found["output"], whole["output"])


@pytest.mark.filterwarnings("ignore:All trials have the label")
def test_what_cannot_be_removed_is_refused(values, weights):
    net, explanation = linear(weights, values)
    with pytest.raises(ValueError, match="how is 'frozen'"):
        remove_frames(net, explanation, how="frozen")
    with pytest.raises(ValueError, match="some of frozen, blurred, swapped"):
        remove_tubes(net, explanation, how=["dropped"])
    with pytest.raises(ValueError, match="All frames would be dropped"):
        remove_frames(net, explanation, fractions=(0.5, 1.0))
    with pytest.raises(ValueError, match="a blur needs a positive one"):
        remove_frames(net, explanation, sigma=0)
    with pytest.raises(ValueError, match="without frame"):
        remove_frames(net, explanation.rename(frame="time"))
    with pytest.raises(ValueError, match="Motion have"):
        remove_frames(net, explanation, motion=motion_magnitude(explanation["signal"]).isel(row=[0, 1]))

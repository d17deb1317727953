from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import signalrp
from signalrp import _reach
from signalrp.windows import exact, sliding


class UNet(nn.Module):
    """As many instants as samples, but all repeats only after four."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.bottom = nn.Conv1d(3, 6, 5, padding=2), nn.Conv1d(6, 8, 5, padding=2)
        self.up, self.top = nn.ConvTranspose1d(8, 6, 4, 4), nn.Conv1d(12, 2, 3, padding=1)

    def forward(self, x):
        fine = torch.relu(self.down(x))
        coarse = torch.relu(self.bottom(F.max_pool1d(fine, 4)))
        return self.top(torch.cat([fine, self.up(coarse)], 1))


class TimeFirst(nn.Module):
    """Input (trial, time, channel), output (trial, time, class)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x.transpose(1, 2)).transpose(1, 2)


class OnePerInstant(nn.Module):
    """A regression: (trial, time)."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Conv1d(3, 1, 6, stride=2)

    def forward(self, x):
        return self.filter(x)[:, 0]


def same():
    return nn.Sequential(
        nn.Conv1d(3, 8, 7, padding=3), nn.BatchNorm1d(8), nn.ReLU(),
        nn.Conv1d(8, 8, 5, padding=4, dilation=2), nn.GELU(), nn.Conv1d(8, 2, 3, padding=1),
    )  # fmt: skip


def strided():
    return nn.Sequential(
        nn.Conv1d(3, 8, 9, stride=2), nn.ReLU(), nn.MaxPool1d(3), nn.Conv1d(8, 8, 3), nn.ELU(), nn.AvgPool1d(2),
        nn.Conv1d(8, 2, 1),
    )  # fmt: skip


def causal():
    return nn.Sequential(nn.ConstantPad1d((8, 0), 0.0), nn.Conv1d(3, 4, 5, dilation=2), nn.Tanh(), nn.Conv1d(4, 2, 1))


def faster():
    return nn.Sequential(
        nn.Conv1d(3, 4, 5, stride=2, padding=2), nn.ReLU(), nn.ConvTranspose1d(4, 2, 7, stride=3, padding=1)
    )


NETS = {"same": same, "strided": strided, "causal": causal, "U-net": UNet, "faster than its input": faster}
# Period, instants and what is seen before and after, in periods.
REACH = {
    "same": (1, 1, 8, 8),
    # From its first sample on, an instant spans 2 * (3 * 3 + 2) + 9 = 31 samples: less than three periods.
    "strided": (12, 1, 0, 2),
    "causal": (1, 1, 8, 0),
    "U-net": (4, 4, 4, 4),
    "faster than its input": (2, 3, 2, 2),
}


def build(make):
    torch.manual_seed(0)
    net = make().double()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.running_mean)
    return net.eval()


def recording(length, trials=1, channels=3):
    rng = np.random.default_rng(length)
    return xr.DataArray(
        rng.normal(size=(trials, channels, length)).cumsum(-1) * 0.1 + rng.normal(size=(trials, channels, length)),
        dims=("trial", "channel", "time"),
        name="EEG",
        attrs={"units": "µV"},
        coords={
            "channel": ["Cz", "Pz", "Oz"][:channels],
            "time": ("time", np.arange(length) / 256, {"units": "s"}),
            "subject": ("trial", [f"S{i}" for i in range(trials)]),
            "label": ("trial", np.arange(trials) % 2),
        },
    )


def second(out):
    return out[:, 1].sum(-1)


def assert_same(found, expected):
    """Whatever the border: no sample is left out of the comparison."""
    assert found.attrs == expected.attrs
    assert found.sizes == expected.sizes
    scale = float(np.abs(expected["relevance"]).max())
    np.testing.assert_allclose(found["relevance"], expected["relevance"], rtol=0, atol=1e-12 * scale)
    xr.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus", "epsilon-plus-flat", "epsilon-alpha2-beta1"])
@pytest.mark.parametrize("name", NETS)
def test_pieces_give_what_one_piece_gives(name, composite):
    net, signal = build(NETS[name]), recording(1996, trials=2)
    whole = signalrp.explain(net, signal, second, composite, audit=True)
    assert float(np.abs(whole["relevance"]).max()) > 0
    # Odd hops, a remainder of one sample, of one period, of a whole window.
    for window in (37, 100, 499, 1995):
        pieces = signalrp.explain(net, signal, second, composite, window=window, batch_size=8, audit=True)
        assert_same(pieces, whole)


def test_the_account_closes():
    net, signal = build(strided), recording(3001, trials=2)
    found = signalrp.explain(net, signal, second, window=240, audit=True)
    total = found["relevance"].sum(("channel", "time")) + found["absorbed"]
    np.testing.assert_allclose(found["explained"], total, rtol=1e-10)
    np.testing.assert_allclose(found["explained"], found["output"][:, 1].sum("output_2"), rtol=1e-10)
    assert float(np.abs(found["absorbed"]).min()) > 1e-6


@pytest.mark.parametrize("length", range(1200, 1226))
def test_every_remainder(length):
    net, signal = build(strided), recording(length)
    assert_same(signalrp.explain(net, signal, second, window=96), signalrp.explain(net, signal, second))


@settings(max_examples=25)
@given(
    layers=st.lists(
        st.tuples(
            st.sampled_from(["conv", "max", "mean", "up"]), st.integers(1, 7), st.integers(1, 3), st.integers(0, 3)
        ),
        min_size=1, max_size=4,
    ),
    window=st.integers(20, 300),
    length=st.integers(700, 900),
)  # fmt: skip
def test_any_stack_of_layers(layers, window, length):
    def make():
        modules, channels = [], 2
        for kind, size, stride, padding in layers:
            if kind == "conv":
                modules += [nn.Conv1d(channels, 3, size, stride, padding), nn.Tanh()]
                channels = 3
            elif kind == "up":
                modules += [nn.ConvTranspose1d(channels, 3, size + 1, min(stride, 2), min(padding, size // 2))]
                channels = 3
            else:
                pool = nn.MaxPool1d if kind == "max" else nn.AvgPool1d
                modules += [pool(size, stride, min(padding, size // 2))]
        # Without the last layer an output might be 0 everywhere.
        return nn.Sequential(*modules, nn.Conv1d(channels, 2, 1))

    net, signal = build(make), recording(length, channels=2)
    whole = signalrp.explain(net, signal, second, "epsilon")
    pieces = signalrp.explain(net, signal, second, "epsilon", window=window)
    assert_same(pieces, whole)


@pytest.mark.parametrize("name", NETS)
def test_reach_is_that_of_the_layers(name):
    noise = torch.randn(1, 3, _reach.noise_length(100), dtype=torch.float64)
    found = _reach.measure(build(NETS[name]), noise, 2, length=996, window=100, target=second, batch_size=4)
    assert (found.period, found.instants, found.before, found.after) == REACH[name]
    with torch.no_grad():
        assert found.total == build(NETS[name])(torch.zeros(1, 3, 996, dtype=torch.float64)).shape[-1]


def test_pieces_divide_the_instants_and_read_no_more_than_they_need():
    reach = _reach.Reach(axis=2, period=4, instants=2, before=3, after=1, total=495)
    pieces = exact(reach, 1000, 103).pieces
    assert [p.begin for p in pieces] == [0] + [p.end for p in pieces[:-1]]
    assert pieces[-1].end == 495
    assert [(p.start, p.stop) for p in pieces[:3]] == [(0, 104), (88, 204), (188, 304)]
    assert max(p.stop - p.start for p in pieces) == 100 + 12 + 4
    assert all(p.first == p.begin - p.start // 2 for p in pieces)


def test_memory_is_bounded_and_nothing_is_computed_twice():
    net, signal = build(same), recording(20_000)
    sizes = []
    handle = net.register_forward_pre_hook(
        lambda module, inputs: sizes.append(inputs[0].shape) if torch.is_grad_enabled() else None
    )
    signalrp.explain(net, signal, second, window=1000, batch_size=3)
    handle.remove()
    assert max(size[0] for size in sizes) == 3
    assert max(size[2] for size in sizes) == 1000 + 8 + 8
    assert sum(size[0] for size in sizes) == 20
    assert sum(size[0] * size[2] for size in sizes) == 20_000 + 19 * 16


def test_measuring_takes_less_than_some_windows():
    net, signal = build(same), recording(20_000)
    sizes = []
    handle = net.register_forward_pre_hook(
        lambda module, inputs: (
            None if torch.is_grad_enabled() else sizes.append(inputs[0].shape[0] * inputs[0].shape[2])
        )
    )
    signalrp.explain(net, signal, second, window=1000, batch_size=3)
    handle.remove()
    assert max(sizes) <= 3 * 1000
    assert 0 < sum(sizes) < 12 * 1000


def test_names_units_and_classes_are_carried_over():
    signal = recording(900, trials=3)
    found = signalrp.explain(build(same), signal, second, window=200)
    xr.testing.assert_identical(found["signal"].rename(signal.name), signal.drop_vars("label"))
    np.testing.assert_array_equal(found["label"], signal["label"])
    assert found["output"].shape == (3, 2, 900)
    assert "target" not in found


def test_layouts_of_input_and_output():
    signal = recording(1000, trials=2)
    turned = signal.transpose("trial", "time", "channel")
    net = build(same)
    expected = signalrp.explain(net, signal, second)
    found = signalrp.explain(TimeFirst(net).eval(), turned, lambda out: out[..., 1].sum(1), window=128)
    assert found["relevance"].dims == turned.dims
    np.testing.assert_allclose(found["relevance"].transpose(*signal.dims), expected["relevance"], atol=1e-10)
    tracker = build(OnePerInstant)
    assert_same(
        signalrp.explain(tracker, signal, lambda out: out.sum(1), window=128),
        signalrp.explain(tracker, signal, lambda out: out.sum(1)),
    )


def test_single_precision():
    net, signal = build(strided).float(), recording(2000).astype(np.float32)
    whole = signalrp.explain(net, signal, second)
    found = signalrp.explain(net, signal, second, window=200)
    assert found["relevance"].dtype == np.float32
    np.testing.assert_allclose(
        found["relevance"], whole["relevance"], atol=1e-5 * float(np.abs(whole["relevance"]).max())
    )


def test_a_window_longer_than_the_signal_is_one_piece():
    net, signal = build(same), recording(100)
    xr.testing.assert_identical(
        signalrp.explain(net, signal, second, window=5000), signalrp.explain(net, signal, second)
    )


class Renormed(nn.Module):
    """Writes to its own weights, keeps what it saw, and draws a number."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Conv1d(3, 2, 5, padding=2)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.filter.weight.data.clamp_(-0.1, 0.1)
        self.calls += 1
        self.seen = x
        return self.filter(x) + 0 * torch.rand(1)


def test_measuring_leaves_the_model_and_chance_as_they_were():
    net, signal = build(Renormed), recording(1000)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    chance = torch.get_rng_state()
    signalrp.explain(net, signal, second, window=100)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not hasattr(net, "seen")
    assert torch.equal(torch.get_rng_state(), chance)


class Centred(nn.Module):
    """Subtracts the mean of the whole signal."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Conv1d(3, 2, 5, padding=2)

    def forward(self, x):
        return self.filter(x - x.mean(-1, keepdim=True))


class Placed(nn.Module):
    """Knows where an instant lies in the signal."""

    def forward(self, x):
        return x + torch.linspace(0, 1, x.shape[-1], dtype=x.dtype)


class Hiding(nn.Module):
    def forward(self, x):
        return torch.nan_to_num(x)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 2, batch_first=True)

    def forward(self, x):
        return self.lstm(x.transpose(1, 2))[0].transpose(1, 2)


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Sequential(same(), nn.AdaptiveAvgPool1d(1), nn.Flatten()), "not resolved in time.*overlap="),
        (lambda: nn.Sequential(same(), nn.AdaptiveAvgPool1d(4)), "not resolved in time"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(6000, 2)), "does not run on 3840 samples"),
        (Centred, "depends on more of the signal than a window of 100"),
        (Recurrent, "depends on more of the signal than a window of 100"),
        (lambda: nn.Conv1d(3, 2, 2501, padding=1250), "depends on more of the signal than a window of 100"),
        (lambda: nn.Conv1d(3, 2, 400, stride=400), "stride is longer"),
        (Placed, "not the delayed output"),
        (Hiding, "hides NaN"),
        (Pair, "returns one tensor, found tuple"),
    ],
)
def test_models_that_pieces_do_not_add_up_for_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        signalrp.explain(build(make), recording(2000), second, window=100)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (lambda out: out[:, 1].mean(-1), "does not add up"),
        (lambda out: out[:, 1].amax(-1), "does not add up"),
        (lambda out: out[:, 1, 10], "does not add up"),
        (lambda out: out, "one number per sample"),
        (None, "needs a target function"),
        (1, "needs a target function"),
    ],
)
def test_targets_that_are_no_sum_over_instants_are_refused(target, message):
    with pytest.raises(ValueError, match=message):
        signalrp.explain(build(same), recording(2000), target, window=100)


def test_windows_that_do_not_fit_are_refused():
    net, signal = build(same), recording(500)
    for window in (60.0, "1 min"):
        with pytest.raises(ValueError, match=r"window is a number of samples, found .*60 \* 256"):
            signalrp.explain(net, signal, second, window=window)
    for window in (0, -5):
        with pytest.raises(ValueError, match="at least one sample"):
            signalrp.explain(net, signal, second, window=window)
    with pytest.raises(ValueError, match="give window="):
        signalrp.explain(net, signal, second, overlap=5)
    with pytest.raises(ValueError, match="needs a dimension 'time'"):
        signalrp.explain(net, signal.rename(time="sample"), second, window=100)
    for overlap in (-1, 100, 101):
        with pytest.raises(ValueError, match="overlap must be at least 0 and less than the window"):
            signalrp.explain(net, signal, second, window=100, overlap=overlap)
    with pytest.raises(ValueError, match="600 samples does not fit into a signal of 500"):
        signalrp.explain(net, signal, second, window=600, overlap=0)


def test_signals_that_tell_nothing_are_refused():
    signal = recording(500)
    for make in (same, strided):
        with pytest.raises(ValueError, match="same at every instant"):
            signalrp.explain(build(make), 0 * signal + 1, second, window=100)
    with pytest.raises(ValueError, match="NaN"):
        signalrp.explain(build(same), signal.where(signal["time"] < 1), second, window=100)
    with pytest.raises(ValueError, match="training mode"):
        signalrp.explain(same().double(), signal, second, window=100)


# -- windows by themselves ------------------------------------------------------------------------------------------


@pytest.fixture
def classifier():
    return build(lambda: nn.Sequential(same(), nn.AdaptiveAvgPool1d(1), nn.Flatten()))


@pytest.mark.parametrize(("window", "overlap", "starts"), [
    (100, 0, [0, 100, 150]), (100, 50, [0, 50, 100, 150]), (250, 249, [0]), (249, 0, [0, 1]),
    (100, 75, [*range(0, 151, 25)]),
])  # fmt: skip
def test_windows_cover_the_signal(window, overlap, starts):
    assert [piece.start for piece in sliding(250, window, overlap).pieces] == starts
    assert {piece.stop - piece.start for piece in sliding(250, window, overlap).pieces} == {window}


def test_each_window_is_a_trial_of_its_own(classifier):
    signal = recording(250, trials=2)
    found = signalrp.explain(classifier, signal, window=100, overlap=50, batch_size=3, audit=True)
    assert found["output"].dims == ("trial", "window", "class")
    assert found["target"].dims == found["explained"].dims == found["absorbed"].dims == ("trial", "window")
    np.testing.assert_array_equal(found["window_start"], signal["time"][[0, 50, 100, 150]])
    np.testing.assert_array_equal(found["window_stop"], signal["time"][[99, 149, 199, 249]])
    assert found["window_start"].attrs == {"units": "s"}
    total, times = np.zeros((2, 3, 250)), np.zeros(250)
    for number, start in enumerate((0, 50, 100, 150)):
        span = slice(start, start + 100)
        alone = signalrp.explain(classifier, signal.isel(time=span), audit=True)
        for name in ("output", "target", "explained", "absorbed"):
            np.testing.assert_allclose(found[name].isel(window=number), alone[name], rtol=1e-10, atol=1e-12)
        total[:, :, span] += alone["relevance"]
        times[span] += 1
    np.testing.assert_allclose(found["relevance"], total / times, rtol=1e-9, atol=1e-12)


def test_windows_side_by_side_conserve(classifier):
    found = signalrp.explain(classifier, recording(300, trials=2), window=100, overlap=0, audit=True)
    total = found["relevance"].sum(("channel", "time")) + found["absorbed"].sum("window")
    np.testing.assert_allclose(found["explained"].sum("window"), total, rtol=1e-10)


def test_targets_of_windows(classifier):
    signal = recording(300, trials=3)
    found = signalrp.explain(
        classifier, signal, [0, 1, 0], classes=["rest", "task"], window=100, overlap=0, batch_size=2
    )
    assert found["target"].values.tolist() == [[0] * 3, [1] * 3, [0] * 3]
    assert found["class"].values.tolist() == ["rest", "task"]
    np.testing.assert_array_equal(found["explained"][1], found["output"][1].sel({"class": "task"}))
    difference = signalrp.explain(classifier, signal, lambda out: out[:, 0] - out[:, 1], window=100, overlap=0)
    np.testing.assert_allclose(
        difference["explained"], found["output"][..., 0] - found["output"][..., 1], rtol=1e-10, atol=1e-12
    )


def test_windows_of_a_model_of_one_number():
    net = build(lambda: nn.Sequential(nn.Flatten(), nn.Linear(300, 1), nn.Flatten(0)))
    found = signalrp.explain(net, recording(250, trials=2), window=100, overlap=20)
    assert found["output"].dims == ("trial", "window")
    np.testing.assert_array_equal(found["output"], found["explained"])


def test_a_file_of_windows_loses_nothing(classifier, tmp_path):
    found = signalrp.explain(classifier, recording(300, trials=2), window=100, overlap=10)
    found.to_netcdf(tmp_path / "windows.nc", engine="scipy")
    xr.testing.assert_identical(signalrp.load(tmp_path / "windows.nc"), found)
    with pytest.raises(ValueError, match="'window' has the name of a part"):
        signalrp.explain(classifier, recording(300).assign_coords(window=3), window=100, overlap=10)


@pytest.mark.parametrize("overlap", [None, 8])
def test_relevance_per_unit_comes_together_from_windows(overlap):
    torch.manual_seed(3)
    model = same().double().eval()
    signal = np.random.default_rng(3).normal(size=(2, 3, 100))
    found = signalrp.explain(
        model, signal, lambda out: out[:, 1].sum(-1), "epsilon", window=24, overlap=overlap, per_unit=True
    )
    np.testing.assert_allclose(found["per_unit"] * signal, found["relevance"], atol=1e-12)

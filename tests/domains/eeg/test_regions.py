from __future__ import annotations

import mne
import numpy as np
import pytest
import xarray as xr
from reference.eeg_explanations import MUSE, explanation

from signalrp.domains.eeg.regions import REGIONS, directions, head_order, region_names, regions, ten_ten


def cap(names, places=None) -> xr.DataArray:
    signal = xr.DataArray(np.zeros((1, len(names), 2)), {"channel": list(names)}, ("trial", "channel", "time"))
    if places is None:
        return signal
    return signal.assign_coords({axis: ("channel", np.asarray(places)[:, i]) for i, axis in enumerate("xyz")})


def places_of(montage: str, names=None) -> tuple[list[str], np.ndarray]:
    standard = mne.channels.make_standard_montage(montage)
    info = mne.create_info(standard.ch_names, 100.0, "eeg").set_montage(standard)
    chosen = standard.ch_names if names is None else names
    return chosen, np.array([info["chs"][standard.ch_names.index(name)]["loc"][:3] for name in chosen])


WHERE = {
    "Fp1": "left frontal", "AF8": "right frontal", "Fz": "midline frontal", "F10": "right frontal",
    "FC1": "left central", "C3": "left central", "Cz": "midline central", "CP6": "right central",
    "FT7": "left temporal", "T8": "right temporal", "TP9": "left temporal",
    "P3": "left parietal", "Pz": "midline parietal", "P6": "right parietal",
    "P7": "left occipito-temporal", "P10": "right occipito-temporal", "PO7": "left occipito-temporal",
    "PO8": "right occipito-temporal", "PO3": "left occipital", "POz": "midline occipital", "O2": "right occipital",
    "Iz": "midline occipital",
}  # fmt: skip


def test_regions_by_name():
    signal = cap(WHERE)
    assert regions(signal, sides=True).values.tolist() == list(WHERE.values())
    assert regions(signal).values.tolist() == [where.split(" ", 1)[1] for where in WHERE.values()]
    assert regions(signal)["channel"].values.tolist() == list(WHERE)


def test_other_spellings_and_names_of_1958():
    signal = cap(["FP1", "fz", "Fc5.", "T3", "T4", "T5", "T6"])
    assert regions(signal, sides=True).values.tolist() == [
        "left frontal", "midline frontal", "left central", "left temporal", "right temporal",
        "left occipito-temporal", "right occipito-temporal",
    ]  # fmt: skip


@pytest.mark.parametrize("montage", ["easycap-M1", "biosemi64", "biosemi32"])
def test_positions_tell_the_same_as_names(montage):
    names, places = places_of(montage)
    hidden = [f"E{number}x" for number in range(len(names))]
    for sides in (False, True):
        by_name, by_place = regions(cap(names), sides), regions(cap(hidden, places), sides)
        assert by_place.values.tolist() == by_name.values.tolist()


def test_measured_heads_tell_nearly_the_same_as_names():
    """A real head is tilted against the spheres of caps: places at borders may fall on the other side."""
    known = mne.channels.get_builtin_montages()
    names = [name for name in ten_ten()[0] if name not in ("O9", "O10")]
    names, places = places_of("colin27_1005" if "colin27_1005" in known else "standard_1005", names)
    found = regions(cap([f"E{n}x" for n in range(len(names))], places)).values
    same = found == regions(cap(names)).values
    assert same.mean() > 0.95
    assert regions(cap(names, places)).values.tolist() == regions(cap(names)).values.tolist()


def test_electrodes_on_one_side_of_the_head_do_not_tell_where_its_middle_is():
    names = ["O1", "Oz", "O2", "PO3", "POz", "PO4", "PO7", "PO8"]
    places = places_of("easycap-M1", names)[1]
    moved = places + np.random.default_rng(4).normal(scale=0.008, size=places.shape)
    cosine = (directions(cap([f"E{n}x" for n in range(8)], moved)) * directions(cap(names))).sum(1)
    assert np.rad2deg(np.arccos(cosine)).max() < 15
    ring = places_of("biosemi32", ["Fp1", "F7", "T7", "P7", "O1", "Oz", "O2", "P8", "T8", "F8", "Fp2"])[1]
    assert np.isfinite(directions(cap([f"E{n}x" for n in range(11)], ring))).all()


def test_the_c3_of_an_abc_cap_is_no_c3():
    names, places = places_of("biosemi128")
    found = regions(cap(names, places), sides=True).to_series()
    assert found["A1"] == "midline central"  # its vertex
    assert found["C3"] != "left central"
    assert found["D23"] == "left temporal"
    assert found["A23"] == "midline occipital"
    left, right = (sorted(n.split(" ", 1)[1] for n in found if n.startswith(s)) for s in ("left", "right"))
    assert left == right


def test_the_real_recording_has_all_regions_on_both_sides(shared_data):
    with np.load(shared_data / "eeg_faceO_pylossless" / "faceO_epochs_128hz.npz") as file:
        signal = cap(file["channels"], file["pos_m"])
    assert region_names(signal) == list(REGIONS)
    found = regions(signal, sides=True).values
    for region in REGIONS:
        assert (found == f"left {region}").sum() == (found == f"right {region}").sum() > 2


def test_places_do_not_depend_on_where_the_origin_is():
    names, places = places_of("biosemi64")
    np.testing.assert_allclose(directions(cap(names, places)), directions(cap(names, places - [0, 0, 0.04])), atol=2e-3)


def test_few_electrodes_are_seen_from_the_usual_middle_of_the_head():
    names, places = places_of("easycap-M1", MUSE)
    assert regions(cap(["a", "b", "c", "d"], places), sides=True).values.tolist() == [
        "left temporal", "left frontal", "right frontal", "right temporal",
    ]  # fmt: skip
    some, known = names[:2], places.copy()
    known[2:] = np.nan
    signal = cap([*some, "AF8", "TP10"], known)
    assert regions(signal, sides=True).values.tolist()[2:] == ["right frontal", "right temporal"]


def test_electrodes_from_front_to_back():
    names = ["O2", "Cz", "Fp2", "C3", "C4", "Fp1", "Fz", "P8", "O1"]
    signal = cap(names)
    assert [names[number] for number in head_order(signal)] == ["Fp1", "Fz", "Fp2", "C3", "Cz", "C4", "P8", "O1", "O2"]
    assert region_names(signal) == ["frontal", "central", "occipito-temporal", "occipital"]
    assert region_names(signal, sides=True)[:3] == ["left frontal", "midline frontal", "right frontal"]


@pytest.mark.parametrize("montage", ["biosemi32", "biosemi128"])
def test_every_electrode_has_its_place_in_the_order(montage):
    data = explanation(cap=montage)
    order = head_order(data)
    assert sorted(order.tolist()) == list(range(data.sizes["channel"]))
    numbers = [REGIONS.index(name) for name in regions(data).values[order]]
    assert numbers == sorted(numbers)


def test_channels_that_are_no_eeg_have_no_region():
    signal = cap(["Fz", "VEOG", "Oz"]).assign_coords(kind=("channel", ["eeg", "eog", "eeg"]))
    assert regions(signal).values.tolist() == ["frontal", "", "occipital"]
    assert regions(signal, sides=True).values.tolist() == ["midline frontal", "", "midline occipital"]
    assert head_order(signal).tolist() == [0, 2]
    assert np.isnan(directions(signal)[1]).all()


def test_unknown_electrodes_are_named():
    with pytest.raises(ValueError, match="The electrodes E1, E7 have neither a position nor a name of the 10-10"):
        regions(cap(["Fz", "E1", "E7"]))
    with pytest.raises(ValueError, match=r"A3, A4, A5, A6, A7, A8, A9, A10 \.\.\. have neither"):
        regions(cap([f"A{number}" for number in range(3, 33)]))
    with pytest.raises(ValueError, match=r"Regions are of channels, but the signal has the dimensions \('time',\)"):
        regions(xr.DataArray(np.zeros(3), dims="time"))

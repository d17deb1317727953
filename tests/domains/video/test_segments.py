import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.video_loops import clips

from signalrp.domains.video.segments import frame_segments, tube_segments


@given(
    sizes=st.tuples(*[st.integers(1, 9)] * 3),
    layout=st.permutations(["rgb", "frame", "row", "column"]),
    data=st.data(),
)
def test_frames_and_tubes_whatever_the_layout(sizes, layout, data):
    signal = clips(np.zeros((2, 3, *sizes)), layout)
    long, high, wide = (data.draw(st.integers(1, size)) for size in sizes)
    frames, tubes = frame_segments(signal, long), tube_segments(signal, long, (high, wide))
    np.testing.assert_array_equal(frames, [frame // long for frame in range(sizes[0])])
    assert frames.dims == ("frame",)
    assert tubes.dims == ("frame", "row", "column")
    counts = [-(-size // part) for size, part in zip(sizes, (long, high, wide), strict=True)]
    for frame, row, column in np.ndindex(*sizes):
        expected = (frame // long * counts[1] + row // high) * counts[2] + column // wide
        assert tubes.values[frame, row, column] == expected
    assert len(tubes.attrs["names"]) == int(tubes.max()) + 1
    assert len(frames.attrs["names"]) == int(frames.max()) + 1


def test_names_tell_times_and_places():
    signal = clips(np.zeros((1, 3, 5, 4, 6)))
    assert frame_segments(signal, 2).attrs["names"] == ["0.00 to 0.10 s", "0.20 to 0.30 s", "0.40 s"]
    assert frame_segments(signal.drop_vars("frame"), 2).attrs["names"] == ["0 to 1", "2 to 3", "4"]
    names = tube_segments(signal, 3, (4, 3)).attrs["names"]
    assert names[0] == "0.00 to 0.20 s, row 0, column 0"
    assert names[-1] == "0.30 to 0.40 s, row 0, column 3"
    assert tube_segments(signal, 5, 4).attrs["names"][1] == "0.00 to 0.40 s, row 0, column 4"


def test_pieces_that_do_not_fit_are_refused():
    signal = clips(np.zeros((1, 3, 5, 4, 6)))
    with pytest.raises(ValueError, match="from 1 to 5"):
        frame_segments(signal, 6)
    with pytest.raises(ValueError, match="from 1 to 4"):
        tube_segments(signal, 1, 5)
    with pytest.raises(ValueError, match="without row"):
        tube_segments(signal.isel(row=0))

"""Small lossless videos whose every pixel is known, and slow re-implementations of what readers choose and paste."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np


def coded(count, rows=12, columns=16, seed=0):
    """Random pictures (frame, row, column, 3), all different."""
    return np.random.default_rng(seed).integers(0, 256, (count, rows, columns, 3), dtype=np.uint8)


def smooth(count, rows=32, columns=48):
    """Pictures that lossy codecs keep nearly as they are; their brightness rises from frame to frame."""
    ramp = np.linspace(0, 60, columns)[None, None, :, None] + np.linspace(0, 30, rows)[None, :, None, None]
    return (ramp + np.linspace(0, 160, count)[:, None, None, None] + np.zeros(3)).astype(np.uint8)


def write(
    path, images, *, codec="ffv1", pixels="bgr0", given=None, rate=25, times=None, turn=None, mirror=False, **options
):
    """Write pictures; `times` in ms makes the frame rate variable, `turn` (degrees) asks players to rotate."""
    container_options = {key: options.pop(key) for key in ("movflags",) if key in options}
    with av.open(str(path), "w", options=container_options) as container:
        stream = container.add_stream(codec, rate=rate, options={key: str(value) for key, value in options.items()})
        stream.height, stream.width, stream.pix_fmt = images.shape[1], images.shape[2], pixels
        if times is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if turn is not None:
            stream.set_display_rotation(turn, hflip=mirror)
        kind = given or {1: "gray", 3: "rgb24", 4: "rgba"}[images.shape[3]]
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(image[..., 0] if kind == "gray" else image), format=kind
            )
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, rate) if times is None else Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def shown_at(times, due, slack):
    """Number of the frame that a player shows at every instant: the last that has begun, or is about to."""
    numbers = []
    for instant in due:
        shown = 0
        for number, time in enumerate(times):
            if time <= instant + slack:
                shown = number
        numbers.append(shown)
    return numbers


def pasted(image, places, size):
    """A digit at these places of its first pixel on frames whose opposite sides meet, pixel by pixel."""
    frames = np.zeros((len(places), *size), dtype=image.dtype)
    for frame, (top, left) in zip(frames, places, strict=True):
        for row in range(image.shape[0]):
            for column in range(image.shape[1]):
                frame[(top + row) % size[0], (left + column) % size[1]] = image[row, column]
    return frames

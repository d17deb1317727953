"""Divided space-time attention, one token and one head at a time."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def attend(part, tokens):
    """What each of some tokens, a list of vectors, gets from all of them."""
    width, heads = len(tokens[0]), part.heads
    size = width // heads
    normed = [F.layer_norm(token, (width,), part.norm.weight, part.norm.bias) for token in tokens]
    qkv = [part.qkv.weight @ token + part.qkv.bias for token in normed]
    out = []
    for one in qkv:
        found = []
        for head in range(heads):
            span = slice(head * size, (head + 1) * size)
            query = one[:width][span]
            scores = torch.stack([query @ other[width : 2 * width][span] for other in qkv]) / size**0.5
            weights = scores.exp() / scores.exp().sum()
            found.append(sum(w * other[2 * width :][span] for w, other in zip(weights, qkv, strict=True)))
        out.append(part.out.weight @ torch.cat(found) + part.out.bias)
    return out


def timesformer(net, clip):
    """Logits of one clip (rgb, frame, row, column)."""
    norm = net.scale
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    clip = (clip - norm.running_mean[:, None, None, None]) * scale[:, None, None, None] + norm.bias[:, None, None, None]
    _, frames, rows, columns = clip.shape
    *_, deep, high, wide = net.embed.weight.shape
    frames //= deep
    places = [(r, c) for r in range(0, rows, high) for c in range(0, columns, wide)]
    patches = {}
    for t in range(frames):
        for p, (r, c) in enumerate(places):
            piece = clip[:, deep * t : deep * (t + 1), r : r + high, c : c + wide].flatten()
            patches[t, p] = net.embed.weight.flatten(1) @ piece + net.embed.bias + net.place[p] + net.moment[t, 0]
    summary = net.summary[0, 0]
    for block in net.blocks:
        for p in range(len(places)):
            for t, found in enumerate(attend(block.time, [patches[t, p] for t in range(frames)])):
                patches[t, p] = patches[t, p] + block.after_time.weight @ found + block.after_time.bias
        summaries = []
        for t in range(frames):
            first, *others = attend(block.space, [summary, *(patches[t, p] for p in range(len(places)))])
            summaries.append(first)
            for p, found in enumerate(others):
                patches[t, p] = patches[t, p] + found
        summary = summary + sum(summaries) / frames
        summary = summary + block.dense(summary)
        patches = {key: token + block.dense(token) for key, token in patches.items()}
    return net.classifier(net.norm(summary))

"""PatternNet and PatternAttribution (Kindermans et al. 2018, arXiv:1705.05598) in loops over units and positions.

A net is a list of layers that are read as numbers: :class:`Layer` with its weights. Nothing here knows of torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass
class Layer:
    """A convolution of any number of dimensions (none: a dense layer), and whether a ReLU follows.

    `weight` is (outputs, inputs of a group, *kernel); `bias` (outputs,). A dense layer reads its input flat.
    """

    weight: Array
    bias: Array
    relu: bool = False
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1

    def positions(self, x: Array) -> Iterator[tuple[tuple[int, ...], int, tuple[npt.NDArray[np.int64], ...]]]:
        """Yield, for one trial, each output's position and number, and where it reads in the padded input."""
        kernel = self.weight.shape[2:]
        sizes = [
            (size + 2 * self.padding - self.dilation * (k - 1) - 1) // self.stride + 1
            for size, k in zip(x.shape[1:], kernel, strict=True)
        ]
        outputs, inputs = self.weight.shape[:2]
        for out in range(outputs):
            first = out // (outputs // self.groups) * inputs
            for place in product(*map(range, sizes)):
                taps = [p * self.stride + self.dilation * np.arange(k) for p, k in zip(place, kernel, strict=True)]
                yield place, out, tuple(np.ix_(np.arange(first, first + inputs), *taps))

    def shaped(self, x: Array) -> Array:
        """Return the input of one trial as (channels, ...)."""
        return x.reshape(-1) if self.weight.ndim == 2 else x

    def padded(self, x: Array) -> Array:
        widths = [(0, 0)] + [(self.padding, self.padding)] * (self.weight.ndim - 2)
        return np.pad(self.shaped(x), widths)

    def observations(self, x: Array) -> Iterator[tuple[int, tuple[int, ...], Array, float]]:
        """Yield (output, position, what it reads, pre-activation) of one trial."""
        whole = self.padded(x)
        for place, out, index in self.positions(self.shaped(x)):
            patch = whole[index]
            yield out, place, patch, float((self.weight[out] * patch).sum() + self.bias[out])

    def forward(self, x: Array) -> Array:
        found = {(out, *place): y for out, place, _, y in self.observations(x)}
        shape = np.max(list(found), axis=0) + 1
        result = np.zeros(shape)
        for index, y in found.items():
            result[index] = max(y, 0.0) if self.relu else y
        return result

    def back(self, x: Array, above: Array, kernel: Array) -> Array:
        """Lead one trial's `above`, at the layer's output, back through `kernel` in the place of its weights."""
        result = np.zeros_like(self.padded(x))
        read = {(out, *place): index for place, out, index in self.positions(self.shaped(x))}
        for out, place, _, y in self.observations(x):
            if y > 0 or not self.relu:
                result[read[(out, *place)]] += above[(out, *place)] * kernel[out]
        inner = slice(self.padding, -self.padding or None)
        return result[(slice(None), *(inner,) * (self.weight.ndim - 2))].reshape(x.shape)


def patterns(layers: list[Layer], trials: Array, two_component: bool) -> list[Array]:
    """Fit the pattern of every unit by the formulas of the paper, as means over what it observed."""
    fitted = []
    for layer in layers:
        pattern = np.zeros_like(layer.weight)
        seen = [observation for x in trials for observation in layer.observations(x)]
        for out in range(len(pattern)):
            patches = np.array([patch for o, _, patch, _ in seen if o == out])
            y = np.array([value for o, _, _, value in seen if o == out])
            regime = y > 0 if two_component and layer.relu else np.ones(len(y), bool)
            if not regime.any():
                continue
            both = np.mean([p * v for p, v in zip(patches[regime], y[regime], strict=True)], axis=0)
            direction = both - patches[regime].mean(0) * y.mean()
            if two_component and layer.relu:
                pattern[out] = direction / (layer.weight[out] * direction).sum()
            else:
                pattern[out] = direction / y.var()
        fitted.append(pattern)
        trials = np.array([layer.forward(x) for x in trials])
    return fitted


def led_back(layers: list[Layer], fitted: list[Array], x: Array, target: int, attribution: bool) -> Array:
    """Lead one output of one trial back to the input."""
    inputs = [x]
    for layer in layers:
        inputs.append(layer.forward(inputs[-1]))
    above = np.zeros_like(inputs[-1])
    above[target] = inputs[-1][target]
    for layer, pattern, below in zip(reversed(layers), reversed(fitted), reversed(inputs[:-1]), strict=True):
        above = layer.back(below, above, layer.weight * pattern if attribution else pattern)
    return above

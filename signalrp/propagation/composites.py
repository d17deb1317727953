"""Which rule goes where.

A composite is a default rule and a list of exceptions to it, asked from the last to the first: what is added
later refines what was said before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from math import inf
from typing import Any, Literal

from torch import Tensor

from signalrp.propagation.rules import AlphaBeta, Epsilon, Flat, Gamma, Rule, WSquare, ZBox, ZPlus
from signalrp.propagation.sums import WeightedSum

Kind = Literal["linear", "convolution"]
Softmax = Literal["statistic", "taylor"]
Products = Literal["gate", "equal"]
Attention = Literal["cp", "attnlrp"]
CHOICES: dict[str, tuple[str | None, ...]] = {
    "softmax": (None, "statistic", "taylor"),
    "products": ("gate", "equal"),
    "attention": ("cp", "attnlrp"),
}


@dataclass(frozen=True)
class Place:
    """The weighted sums that an exception is for; conditions that are None hold everywhere."""

    kind: Kind | None = None
    path: str | None = None
    from_input: int | None = None
    from_output: int | None = None
    below: str | None = None


@dataclass(frozen=True)
class Composite:
    """Which rule every weighted sum of a model follows.

    Parameters
    ----------
    default : Rule
        The rule where no exception holds.
    exceptions : tuple of (Place, Rule)
        Made by :meth:`where`.
    softmax : {"statistic", "taylor"}, optional
        What a softmax hands on. ``statistic``: its normaliser counts as a constant, each output answers for its
        own input. ``taylor``: its derivative (AttnLRP, Achtibat et al. 2024, arXiv:2402.05602). Without
        it ``taylor`` where `attention` is ``attnlrp``, else ``statistic``.
    products : {"gate", "equal"}
        How a product of two signals is shared. ``gate``: all to the signal where one factor is a gate, which scales
        it (the output of a sigmoid, an exponential, a softplus or softmax, one divided by a signal), equally
        otherwise. ``equal``: always equally.
    attention : {"cp", "attnlrp"}
        What becomes of attention weights, made by a softmax, in their product with the values. ``cp``: they are
        constants, everything goes to the values (Ali et al. 2022, arXiv:2202.07304). ``attnlrp``: the weights take
        half, as each factor of the product of queries and keys does (Achtibat et al. 2024).
    gates : tuple of str
        Globs for the paths of modules whose outputs count as gates; made by :meth:`gate`.
    name : str
        For labels and attributes.

    Examples
    --------
    >>> composite = (
    ...     Composite(Epsilon())
    ...     .where(ZPlus(), kind="convolution")
    ...     .where(Flat(), below="encoder.2")
    ... )
    """

    default: Rule = Epsilon()
    exceptions: tuple[tuple[Place, Rule], ...] = ()
    softmax: Softmax | None = None
    products: Products = "gate"
    attention: Attention = "cp"
    gates: tuple[str, ...] = ()
    name: str = "custom"

    def __post_init__(self) -> None:
        for option, choices in CHOICES.items():
            found = getattr(self, option)
            if found not in choices:
                names = ", ".join(f'"{choice}"' for choice in choices if choice is not None)
                raise ValueError(f"{option} must be one of {names}, found {found!r}.")

    @property
    def softmax_rule(self) -> Softmax:
        """What a softmax hands on, said or implied."""
        return self.softmax or ("taylor" if self.attention == "attnlrp" else "statistic")

    def where(
        self,
        rule: Rule,
        *,
        kind: Kind | None = None,
        path: str | None = None,
        from_input: int | None = None,
        from_output: int | None = None,
        below: str | None = None,
    ) -> Composite:
        """Return the composite with another rule at some places; all conditions given must hold.

        Parameters
        ----------
        rule : Rule
            The rule there. A later exception goes before an earlier one.
        kind : {"linear", "convolution"}
            Kind of the operation; transposed convolutions are convolutions, matrix products are linear.
        path : str
            Glob for the path of the module, e.g. ``"blocks.*.conv1"``.
        from_input : int
            The sum is at most the n-th from the input, on the longest way: 1 is the first layer.
        from_output : int
            The sum is at most the n-th from the output, on the longest way: 1 is the last layer.
        below : str
            The sum is in a module whose path matches this glob, or upstream of one that is: "flat from here down".
        """
        if kind not in (None, "linear", "convolution"):
            raise ValueError(f'kind must be "linear" or "convolution", found {kind!r}.')
        place = Place(kind, path, from_input, from_output, below)
        return replace(self, exceptions=(*self.exceptions, (place, rule)))

    def gate(self, path: str) -> Composite:
        """Return the composite with the outputs of some modules as gates, which get nothing in a product.

        Parameters
        ----------
        path : str
            Glob for the path of the modules, e.g. ``"layers.*.mixer.x_proj"``.
        """
        return replace(self, gates=(*self.gates, path))

    @property
    def relevance_depth(self) -> float:
        """Number of weighted sums from the input below which relevance itself may flow; 0 where it never does."""
        if self.default.carries_relevance:
            return inf
        depths = (place.from_input for place, rule in self.exceptions if rule.carries_relevance)
        return max((inf if depth is None else depth for depth in depths), default=0)

    @property
    def carries_relevance(self) -> bool:
        """Whether any rule makes relevance itself flow below it."""
        return self.relevance_depth > 0

    def assign(self, sums: Sequence[WeightedSum]) -> None:
        """Set the rule of each weighted sum of one forward pass."""
        regions: dict[str | None, set[int]] = {
            place.below: _upstream(sums, place.below) for place, _ in self.exceptions if place.below is not None
        }
        met = [False] * len(self.exceptions)
        for op in sums:
            op.rule = self.default
            for i, (place, rule) in enumerate(self.exceptions):
                if _holds(place, op, regions):
                    op.rule, met[i] = rule, True
        for (place, rule), found in zip(self.exceptions, met, strict=True):
            if not found and (place.path is not None or place.below is not None):
                paths = sorted({op.path for op in sums})
                raise ValueError(
                    f"no weighted sum matches path={place.path or place.below!r} of the rule {type(rule).__name__}; "
                    f"the model has {', '.join(map(repr, paths))}."
                )


def _holds(place: Place, op: WeightedSum, regions: dict[str | None, set[int]]) -> bool:
    return (
        (place.kind is None or place.kind == op.kind)
        and (place.path is None or fnmatchcase(op.path, place.path))
        and (place.from_input is None or op.from_input <= place.from_input)
        and (place.from_output is None or op.from_output <= place.from_output)
        and (place.below is None or id(op) in regions[place.below])
    )


def _upstream(sums: Sequence[WeightedSum], pattern: str) -> set[int]:
    region: set[int] = set()
    pending = [op for op in sums if fnmatchcase(op.path, pattern) or fnmatchcase(op.path, f"{pattern}.*")]
    while pending:
        op = pending.pop()
        if id(op) not in region:
            region.add(id(op))
            pending.extend(op.parents)
    return region


def epsilon(epsilon: float = 1e-6) -> Composite:
    """Epsilon everywhere (Bach et al. 2015, doi:10.1371/journal.pone.0130140)."""
    return Composite(Epsilon(epsilon), name="epsilon")


def epsilon_plus(epsilon: float = 1e-6) -> Composite:
    """ZPlus for convolutions, epsilon for dense sums (Lapuschkin et al. 2019, doi:10.1038/s41467-019-08987-4)."""
    return Composite(Epsilon(epsilon), name="epsilon-plus").where(ZPlus(), kind="convolution")


def epsilon_plus_flat(epsilon: float = 1e-6) -> Composite:
    """``epsilon-plus`` with ``Flat`` in the first layer (Lapuschkin et al. 2019)."""
    return replace(epsilon_plus(epsilon).where(Flat(), from_input=1), name="epsilon-plus-flat")


def epsilon_gamma_box(
    low: float | Tensor, high: float | Tensor, gamma: float = 0.25, epsilon: float = 1e-6
) -> Composite:
    """ZBox in the first layer, gamma for convolutions, epsilon for dense sums.

    See Montavon et al. 2019, doi:10.1007/978-3-030-28954-6_10. `low` and `high` are the bounds of the signal.
    """
    composite = Composite(Epsilon(epsilon), name="epsilon-gamma-box").where(Gamma(gamma), kind="convolution")
    return composite.where(ZBox(low, high), from_input=1)


def epsilon_alpha2_beta1(epsilon: float = 1e-6) -> Composite:
    """AlphaBeta(2, 1) for convolutions, epsilon for dense sums (Lapuschkin et al. 2019)."""
    return Composite(Epsilon(epsilon), name="epsilon-alpha2-beta1").where(AlphaBeta(2, 1), kind="convolution")


def epsilon_alpha2_beta1_flat(epsilon: float = 1e-6) -> Composite:
    """``epsilon-alpha2-beta1`` with ``Flat`` in the first layer (Lapuschkin et al. 2019)."""
    return replace(epsilon_alpha2_beta1(epsilon).where(Flat(), from_input=1), name="epsilon-alpha2-beta1-flat")


def deep_taylor(low: float | Tensor | None = None, high: float | Tensor | None = None) -> Composite:
    """ZPlus everywhere; in the first layer ZBox when bounds are given, else WSquare.

    See Montavon et al. 2017, doi:10.1016/j.patcog.2016.11.008.
    """
    if (low is None) != (high is None):
        raise ValueError("deep-taylor takes both bounds of the signal, low and high, or neither.")
    first: Rule = WSquare() if low is None or high is None else ZBox(low, high)
    return Composite(ZPlus(), name="deep-taylor").where(first, from_input=1)


def excitation_backprop() -> Composite:
    """ZPlus without bias everywhere (Zhang et al. 2018, doi:10.1007/s11263-017-1059-x)."""
    return Composite(ZPlus(bias="ignore"), name="excitation-backprop")


def cp_lrp(epsilon: float = 1e-6) -> Composite:
    """Epsilon everywhere, attention weights and the scales of norms constant (Ali et al. 2022, arXiv:2202.07304)."""
    return Composite(Epsilon(epsilon), name="cp-lrp")


def attnlrp(epsilon: float = 1e-6) -> Composite:
    """Epsilon everywhere, softmax by its expansion, equal parts in attention.

    See Achtibat et al. 2024, arXiv:2402.05602. A softmax that the model writes out as exponentials and their sum is not
    recognised: its weights count as constants.
    """
    return Composite(Epsilon(epsilon), attention="attnlrp", name="attnlrp")


def mamba_lrp(epsilon: float = 1e-6, selective: Sequence[str] = ("*x_proj", "*dt_proj")) -> Composite:
    """Epsilon everywhere; what makes a state space selective (step size, B and C) counts as a constant.

    `selective` are globs for the paths of the modules that compute it, named as in Mamba (Rezaei Jafari et al. 2024,
    arXiv:2406.07592). The product with the other branch behind its SiLU is shared equally.
    """
    return Composite(Epsilon(epsilon), gates=tuple(selective), name="mamba-lrp")


COMPOSITES: dict[str, Callable[..., Composite]] = {
    "epsilon": epsilon,
    "epsilon-plus": epsilon_plus,
    "epsilon-plus-flat": epsilon_plus_flat,
    "epsilon-gamma-box": epsilon_gamma_box,
    "epsilon-alpha2-beta1": epsilon_alpha2_beta1,
    "epsilon-alpha2-beta1-flat": epsilon_alpha2_beta1_flat,
    "deep-taylor": deep_taylor,
    "excitation-backprop": excitation_backprop,
    "cp-lrp": cp_lrp,
    "attnlrp": attnlrp,
    "mamba-lrp": mamba_lrp,
}


def composite(which: str | Composite | Rule, **options: Any) -> Composite:
    """Return a composite by its name, with options, or from a rule that is to hold everywhere.

    Parameters
    ----------
    which : str, Composite or Rule
        ``"epsilon"``, ``"epsilon-plus"``, ``"epsilon-plus-flat"``, ``"epsilon-gamma-box"`` (needs ``low`` and
        ``high``), ``"epsilon-alpha2-beta1"``, ``"epsilon-alpha2-beta1-flat"``, ``"deep-taylor"`` (takes ``low``
        and ``high``), ``"excitation-backprop"``, for attention ``"cp-lrp"`` or ``"attnlrp"``, for
        selective state spaces ``"mamba-lrp"``.
    **options
        ``epsilon``, ``gamma``, ``low``, ``high``, ``selective`` as far as the named composite has them, and
        ``softmax``, ``products`` and ``attention`` of :class:`Composite`.

    Raises
    ------
    ValueError
        When the name or an option is unknown, or bounds are missing.
    """
    choices = {option: options.pop(option) for option in CHOICES if option in options}
    if choices:
        return replace(composite(which, **options), **choices)
    if isinstance(which, Composite):
        return which
    if isinstance(which, Rule):
        return Composite(which, name=repr(which))
    if which not in COMPOSITES:
        raise ValueError(f"there is no composite {which!r}; choose one of {', '.join(COMPOSITES)}.")
    try:
        return COMPOSITES[which](**options)
    except TypeError:
        if which == "epsilon-gamma-box" and not {"low", "high"} <= options.keys():
            raise ValueError(
                "epsilon-gamma-box needs the lowest and the highest value a signal can have: "
                'composite=signalrp.composite("epsilon-gamma-box", low=..., high=...).'
            ) from None
        raise ValueError(f"the composite {which!r} does not take {', '.join(options)}.") from None

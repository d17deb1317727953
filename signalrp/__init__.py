"""Layer-wise relevance propagation for deep models of time series and signals."""

from importlib.metadata import version as _version

from signalrp.attribute import Attribution, attribute
from signalrp.baselines import explain_with, methods
from signalrp.explain import explain, load
from signalrp.inspection import DCT, DFT, STFT, Chain, Linear, inspect
from signalrp.propagation.composites import Composite, composite
from signalrp.propagation.errors import UnsupportedOperation
from signalrp.propagation.operations.custom import register_operation
from signalrp.propagation.rules import AlphaBeta, Epsilon, Flat, Gamma, Pass, Rule, WSquare, ZBox, Zero, ZPlus

__version__ = _version("signalrp")

__all__ = [
    "DCT",
    "DFT",
    "STFT",
    "AlphaBeta",
    "Attribution",
    "Chain",
    "Composite",
    "Epsilon",
    "Flat",
    "Gamma",
    "Linear",
    "Pass",
    "Rule",
    "UnsupportedOperation",
    "WSquare",
    "ZBox",
    "ZPlus",
    "Zero",
    "attribute",
    "composite",
    "explain",
    "explain_with",
    "inspect",
    "load",
    "methods",
    "register_operation",
]

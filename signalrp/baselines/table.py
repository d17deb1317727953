"""The table of all methods."""

from __future__ import annotations

import pandas as pd

_LAPUSCHKIN = "Lapuschkin et al. 2019, doi:10.1038/s41467-019-08987-4"
_ZEILER = "Zeiler and Fergus 2014, arXiv:1311.2901"
_KINDERMANS = "Kindermans et al. 2018, arXiv:1705.05598"
_KINDS = {
    "LRP composite": [
        ("epsilon", "in proportion to the contributions", "", "Bach et al. 2015, doi:10.1371/journal.pone.0130140"),
        ("epsilon-plus", "positive contributions in convolutions, all in dense sums", "", _LAPUSCHKIN),
        ("epsilon-plus-flat", "epsilon-plus, equal shares in the first layer", "", _LAPUSCHKIN),
        (
            "epsilon-gamma-box", "contributions that agree favoured in convolutions, bounds of the signal in the first "
            "layer", "low and high", "Montavon et al. 2019, doi:10.1007/978-3-030-28954-6_10",
        ),
        ("epsilon-alpha2-beta1", "positive and negative contributions apart in convolutions", "", _LAPUSCHKIN),
        ("epsilon-alpha2-beta1-flat", "epsilon-alpha2-beta1, equal shares in the first layer", "", _LAPUSCHKIN),
        (
            "deep-taylor", "positive contributions, squared weights or bounds in the first layer", "",
            "Montavon et al. 2017, doi:10.1016/j.patcog.2016.11.008",
        ),
        (
            "excitation-backprop", "positive contributions without bias", "",
            "Zhang et al. 2018, doi:10.1007/s11263-017-1059-x",
        ),
        ("cp-lrp", "epsilon, attention weights constant", "", "Ali et al. 2022, arXiv:2202.07304"),
        ("attnlrp", "epsilon, attention weights take half", "", "Achtibat et al. 2024, arXiv:2402.05602"),
        (
            "mamba-lrp", "epsilon, what makes a state space selective is constant", "modules named as in Mamba",
            "Rezaei Jafari et al. 2024, arXiv:2406.07592",
        ),
    ],
    "baseline": [
        ("gradient", "absolute value of the gradient", "captum", "Simonyan et al. 2013, arXiv:1312.6034"),
        ("input-x-gradient", "signal times gradient", "captum", "Shrikumar et al. 2016, arXiv:1605.01713"),
        (
            "integrated-gradients", "the gradient's mean on the way from the reference, times the difference",
            "captum", "Sundararajan et al. 2017, arXiv:1703.01365",
        ),
        (
            "smoothgrad", "absolute value of the mean gradient under noise", "captum",
            "Smilkov et al. 2017, arXiv:1706.03825",
        ),
        ("deconvnet", "gradient; of ReLUs, what flows back is rectified instead", "a model with ReLUs", _ZEILER),
        (
            "guided-backprop", "gradient; at ReLUs, what flows back is rectified as well", "a model with ReLUs",
            "Springenberg et al. 2015, arXiv:1412.6806",
        ),
        ("occlusion", "fall of the output when a segment is replaced", "captum", _ZEILER),
        (
            "gradient-shap", "expected gradient on the way from trials of data", "captum, data",
            "Lundberg and Lee 2017, arXiv:1705.07874; Erion et al. 2021, doi:10.1038/s42256-021-00343-w",
        ),
        (
            "deeplift", "contributions to the difference from the reference, rescale rule",
            "captum, a model whose nonlinearities are modules", "Shrikumar et al. 2017, arXiv:1704.02685",
        ),
        ("pattern-net", "the signal in the input, by patterns fitted from data", "data", _KINDERMANS),
        ("pattern-attribution", "what the signal adds to the output, by patterns", "data", _KINDERMANS),
    ],
    "yardstick": [
        ("amplitude", "absolute value of the signal, whatever the model", "", "the signal itself"),
        ("random", "noise", "", "Samek et al. 2017, doi:10.1109/TNNLS.2016.2599820"),
    ],
}  # fmt: skip


def methods() -> pd.DataFrame:
    """List the methods that :func:`signalrp.explain_with` knows by name.

    Returns
    -------
    pandas.DataFrame
        ``name``; ``kind``, one of "LRP composite", "baseline" and "yardstick"; ``description``; ``needs``, what it
        takes beside model and signal ("captum" comes with ``signalrp[validation]``); ``source``, with DOI or arXiv.
    """
    rows = [(name, kind, *rest) for kind, entries in _KINDS.items() for name, *rest in entries]
    return pd.DataFrame(rows, columns=["name", "kind", "description", "needs", "source"])

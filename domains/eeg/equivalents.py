"""Torch modules that decide as fitted estimators of scikit-learn and MNE do, value by value.

Where the relevance of a power starts
-------------------------------------
The output of CSP and LDA is a weighted sum of logarithms of power, ``sum_k a_k log(p_k) + b``. A logarithm has no
origin: written so, half a dozen numbers around -27 (of squared volts) would be handed out, with the sign of the unit.
The module computes the same as ``sum_k a_k log(p_k / g_k) + b'``, where ``g_k`` is the typical power of component k,
that of the average training trial (the mean over classes, weighted by their priors, of the feature). ``b'`` is the
output for that trial; with two classes it is the logarithm of the ratio of their priors, 0 for equal ones.

``log(p/g) = log1p((p - g)/g)`` is 0 for the average trial, so that its slope is the one between this trial and that:
``s = log(p/g) / (p - g)``, always positive and 1/g near the average. Signals get ``a_k s_k p_k``, shared by what each
electrode and instant gives to the power, and ``-a_k s_k g_k`` is absorbed as a constant. Hence relevance says what the
power that is there does for a class against no power at all, as removing it would show: where less of a rhythm speaks
for the class, the relevance of what is left of it is negative. To see that lack as evidence, take the map relative to
the average trial (`signalrp.domains.eeg.patterns.relative_to_average`): it places the constant where the average trial
has its power.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ._fitted import Floats, affine, class_rows, is_step, linear_layer, names_of, steps_of
from .classical import band_pass, window_means


def torch_model(estimator: Any) -> nn.Module:
    """Return the torch module of a fitted estimator, for `signalrp.explain`.

    Parameters
    ----------
    estimator : object
        A fitted net of skorch or braindecode (such as ``EEGClassifier``: anything that keeps its module as
        ``module_``); a fitted search of scikit-learn, of which the best estimator is taken; a fitted pipeline that
        ends in a net and does nothing before; a pipeline of CSP and LDA or a linear classifier of epochs (see
        `from_csp_lda` and `from_linear`); or a torch module.

    Returns
    -------
    torch.nn.Module
        The net's own module, not a copy, in evaluation mode; of scikit-learn's estimators an equivalent one, whose
        outputs are in the order of ``classes_``. Fit with the numbers of ``signal["label"]``: names would be sorted, so
        that the outputs could be in another order than the labels.

    Raises
    ------
    ValueError
        When the estimator is not fitted, or transforms the signal before its net.
    TypeError
        When there is no torch module in it, nor one equivalent to it.

    Examples
    --------
    >>> classifier = EEGClassifier("ShallowFBCSPNet", ...).fit(x, y)  # doctest: +SKIP
    >>> explanation = signalrp.explain(torch_model(classifier), signal)  # doctest: +SKIP
    """
    if isinstance(estimator, nn.Module):
        return estimator.eval()
    name = type(estimator).__name__
    if hasattr(estimator, "best_estimator_"):
        return torch_model(estimator.best_estimator_)
    if isinstance(getattr(estimator, "module_", None), nn.Module):
        return estimator.module_.eval()
    if hasattr(estimator, "module") or hasattr(estimator, "param_grid") or hasattr(estimator, "param_distributions"):
        raise ValueError(f"the {name} is not fitted; call fit with the training trials first.")
    steps = steps_of(estimator)
    if isinstance(steps[-1], nn.Module) or hasattr(steps[-1], "module"):
        if len(steps) > 1:
            raise ValueError(
                f"the pipeline transforms the signal by {names_of(steps[:-1])} before its net; transform it first "
                "(pipeline[:-1].transform) and explain the net (pipeline[-1])."
            )
        return torch_model(steps[0])
    if any(type(step).__name__ == "CSP" for step in steps):
        return from_csp_lda(estimator)
    if hasattr(estimator, "steps") or hasattr(estimator, "coef_"):
        return from_linear(estimator)
    raise TypeError(
        f"no torch module is in the {name}; give a torch module, a fitted net of skorch or braindecode, or a fitted "
        "pipeline of CSP and LDA or of a linear classifier."
    )


class CspLda(nn.Module):
    """Log-power of spatial filters and a linear decision, with the average trial as the origin.

    Made by `from_csp_lda`. In float64: ``model(x)`` takes (trial, channel, time) and returns (trial, class).

    Parameters
    ----------
    filters : array, shape (component, channel)
        Spatial filters.
    typical : array, shape (component,)
        Power of every component in the average trial.
    weight, bias : array, shape (class, component) and (class,)
        The decision: of ``log(power / typical)``, or without logarithm of ``power / typical - 1``.
    log : bool
        Whether to take the logarithm.
    band : dict, optional
        Options of `band_pass`, which the signal is filtered with.
    """

    def __init__(
        self,
        filters: Floats,
        typical: Floats,
        weight: Floats,
        bias: Floats,
        *,
        log: bool = True,
        band: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.log, self.band = log, band
        # Relative filters: the mean square of what they let through is power / typical.
        self.filters = linear_layer(filters / np.sqrt(typical)[:, None])
        self.classifier = linear_layer(weight, bias)

    def power(self, x: Tensor) -> Tensor:
        """Return the power of every component over the typical one, (trial, component)."""
        sources = self.filters(x.transpose(1, 2))
        if self.band is not None:
            # Behind the spatial filters, where the signal is about 1 whatever its unit: stabilisers are small there.
            sources = torch.as_tensor(_operator(x.shape[-1], **self.band)).to(x) @ sources
        return sources.square().mean(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the decision values, (trial, class)."""
        excess = self.power(x) - 1
        return self.classifier(torch.log1p(excess) if self.log else excess)


@lru_cache(maxsize=8)
def _operator(n_times: int, low: float, high: float, sfreq: float) -> Floats:
    """Return the band pass of so many samples as a matrix: it times signals (time, ...) is filtered."""
    return np.ascontiguousarray(band_pass(np.eye(n_times), low, high, sfreq).T)


def from_csp_lda(pipeline: Any) -> CspLda:
    """Return the torch module that decides as a fitted pipeline of CSP and LDA does.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted; made by `csp_lda`, or of :class:`mne.decoding.CSP` with ``transform_into="average_power"`` (`log` or
        not, any covariance), if wanted a :class:`sklearn.preprocessing.StandardScaler`, and
        :class:`sklearn.discriminant_analysis.LinearDiscriminantAnalysis`.

    Returns
    -------
    CspLda
        In float64 and evaluation mode. Its outputs are the decision values, one for each of ``classes_`` in their
        order; for two classes the single value of the pipeline with either sign.

    Raises
    ------
    ValueError
        When the pipeline is not fitted or has other steps.

    Notes
    -----
    With three or more classes and without a StandardScaler, the solvers "lsqr" and "eigen" of scikit-learn give all
    classes a large share in common, which decides nothing but is explained; explain a difference of outputs then.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    from ._mne import mne

    steps = steps_of(pipeline)
    rest = list(steps)
    band = rest.pop(0).kw_args if is_step(rest, FunctionTransformer, band_pass) else None
    csp = rest.pop(0) if is_step(rest, mne.decoding.CSP) else None
    scaler = rest.pop(0) if is_step(rest, StandardScaler) else None
    lda = rest.pop(0) if is_step(rest, LinearDiscriminantAnalysis) else None
    if csp is None or lda is None or rest:
        raise ValueError(
            f"the pipeline has the steps {names_of(steps)}; expected CSP, if wanted StandardScaler, and "
            "LinearDiscriminantAnalysis: make it with csp_lda()."
        )
    if not (hasattr(csp, "filters_") and hasattr(lda, "coef_")):
        raise ValueError("the pipeline is not fitted; call fit with the training trials first.")
    if csp.transform_into != "average_power":
        raise ValueError(
            f'the CSP transforms into "{csp.transform_into}", which has a value for every instant; fit it with '
            'transform_into="average_power".'
        )
    # LDA of standardised features is one of the features themselves.
    slope, offset = affine(scaler, (1, lda.coef_.shape[1]))
    weight, bias = class_rows(lda.coef_ * slope, lda.intercept_ + lda.coef_ @ offset)
    average = (lda.priors_ @ lda.means_ - offset) / slope
    log = csp.log is None or bool(csp.log)
    if log:
        typical, bias = np.exp(average), bias + weight @ average
    else:
        typical = csp.mean_ + csp.std_ * average
        weight, bias = weight * (typical / csp.std_), bias + weight @ average
    return CspLda(csp.filters_[: csp.n_components], typical, weight, bias, log=log, band=band).eval()


def from_linear(estimator: Any) -> nn.Sequential:
    """Return the torch module that decides as a fitted linear classifier of epochs does.

    Parameters
    ----------
    estimator : sklearn.pipeline.Pipeline or classifier
        Fitted; a linear classifier of flattened epochs with ``coef_`` and ``intercept_`` (discriminant analysis,
        logistic regression, a linear machine one-versus-rest, also inside :class:`mne.decoding.LinearModel`). Before
        it may stand, in this order, :class:`mne.decoding.Scaler`, :class:`mne.decoding.Vectorizer` or the window means
        of `signalrp.domains.eeg.classical.erp_lda`, and :class:`sklearn.preprocessing.StandardScaler`.

    Returns
    -------
    torch.nn.Sequential
        In float64 and evaluation mode, (trial, channel, time) to (trial, class): decision values in the order of
        ``classes_``, for two classes the single value of the classifier with either sign. Scalings are part of its
        weights, so that it takes the signal in the unit of the training trials.

    Raises
    ------
    ValueError
        When the estimator is not fitted, not linear, decides one-versus-one or has other steps.
    """
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    from ._mne import mne

    steps = steps_of(estimator)
    *rest, classifier = steps
    classifier = getattr(classifier, "model_", classifier)
    layers: list[nn.Module] = [nn.Flatten()]
    per_channel = rest.pop(0) if is_step(rest, mne.decoding.Scaler) else None
    if is_step(rest, FunctionTransformer, window_means):
        layers.insert(0, nn.AvgPool1d(rest.pop(0).kw_args["samples"], ceil_mode=True))
    elif is_step(rest, mne.decoding.Vectorizer):
        rest.pop(0)
    per_feature = rest.pop(0) if is_step(rest, StandardScaler) else None
    if rest:
        raise ValueError(
            f"the pipeline has the steps {names_of(steps)}; expected, if wanted, Scaler, Vectorizer and "
            "StandardScaler, and a linear classifier: make it with erp_lda()."
        )
    if not (hasattr(classifier, "coef_") and hasattr(classifier, "classes_")):
        raise ValueError(
            f"the {type(classifier).__name__} is not fitted or not a linear classifier; fit a linear one first."
        )
    if hasattr(classifier, "dual_coef_") and len(classifier.classes_) > 2:
        raise ValueError(
            f"the {type(classifier).__name__} decides one-versus-one, by a vote among pairs of classes; fit one that "
            "decides one-versus-rest."
        )
    weight, bias = np.atleast_2d(classifier.coef_), np.reshape(classifier.intercept_, -1)
    slope, offset = affine(per_feature, (1, weight.shape[1]))
    weight, bias = weight * slope, bias + weight @ offset
    if per_channel is not None:
        slope, offset = affine(per_channel, (1, per_channel.n_features_in_, 1))
        by_channel = weight.reshape(len(weight), len(slope), -1)
        weight, bias = (by_channel * slope[:, None]).reshape(weight.shape), bias + by_channel.sum(2) @ offset
    return nn.Sequential(*layers, linear_layer(*class_rows(weight, bias))).eval()

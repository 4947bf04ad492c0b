"""Tail model of the absolute residuals of one kind, in six floats.

Two quantiles of |residual|, the 90 % one (`quantile`) and a slower 99 % one (`extreme`), are
tracked in log units by stochastic steps; above them the tail is taken as a power law whose index
`xi` is the mean log excess. This makes scores of different series comparable:

    threshold  U(a) = quantile + 0.1 extreme
    score(a)        = l0 a / U                 for a <= U         with l0 = -ln 0.1
                      l0 + ln(a / U) / xi      above it,          about -ln P(residual >= a)

Source: stochastic quantile steps after Robbins and Monro; the mean log excess is Hill's (1975)
estimator, here with a decaying memory and a prior. Deviations: steps are taken in log units, so
the tracker is free of the unit of the series, and the excess falls back towards a prior.
"""

from __future__ import annotations

import math

import numpy as np

from streamdet.kernels.jit import kernel

TAIL = np.dtype(
    [
        ("quantile", "<f4"),  # ln
        ("extreme", "<f4"),  # ln
        ("excess_sum", "<f4"),
        ("excess_weight", "<f4"),
        ("mean", "<f4"),  # of the first residuals
        ("count", "<u4"),  # residuals learnt
    ]
)
"""All zero: nothing learnt yet."""

# Quantile 0.90 gave the fewest false flags of the settings tried on labelled development series
# (0.02-0.03 % of normal points), at equal accuracy.
_P = 0.10
_P_EXTREME = 0.01
L0 = -math.log(_P)
_XI_MIN = 0.02
# A step is so many times 1 / (residuals above the quantile that are remembered). 1 to 1.5 flag
# less on the development series than the 3 that was tried first, at equal accuracy.
_STEP = 1.0
_STEP_EXTREME = 3.0
_STEP_MAX = 0.1
SCORE_MAX = 100.0
_CLAMP_SCORE = 7.0
_EXCESS_MAX = 12.0  # a first move after a constant is no tail
LEARN_FROM = 64  # residuals; until then the quantiles follow their mean

# 90 % and 99 % quantile of |N(0, 1)| over its mean 0.7979.
_QUANTILE_OF_MEAN = 1.6449 / 0.7979
_EXTREME_OF_MEAN = 2.5758 / 0.7979
_LEAST = 1e-30


@kernel
def tail_begin(tail, xi, weight):
    """Forget everything; the tail index `xi`, worth `weight` excesses, stands in for what is."""
    tail.count = 0
    tail.mean = 0.0
    tail.quantile = tail.extreme = math.log(_LEAST)
    tail.excess_sum = weight * xi
    tail.excess_weight = weight


@kernel
def tail_expect(tail, mean, count, xi, weight):
    """Expect residuals no larger than of this mean from here on, and learn them fast.

    For a change that makes residuals smaller by far, while the tail goes on to judge them.
    count : residuals that the tail counts as learnt, if there are more
    """
    mean = max(mean, _LEAST)
    tail.quantile = min(np.float64(tail.quantile), math.log(_QUANTILE_OF_MEAN * mean))
    tail.extreme = min(np.float64(tail.extreme), math.log(_EXTREME_OF_MEAN * mean))
    tail.excess_sum = weight * xi
    tail.excess_weight = weight
    tail.count = min(np.int64(tail.count), count)


@kernel
def tail_unit(tail, floor):
    """Return U, in the unit of the series; never below `floor` > 0."""
    return max(math.exp(tail.quantile) + 0.1 * math.exp(tail.extreme), floor)


@kernel
def tail_index(tail):
    """Return xi, the mean log excess: about 0.2 for normal noise."""
    return max(tail.excess_sum / tail.excess_weight, _XI_MIN)


@kernel
def tail_score(residual, unit, xi):
    """Return the score of |residual|, 0 to 100; about -ln of the probability of one as large."""
    if residual <= unit:
        return L0 * residual / unit
    return min(L0 + math.log(residual / unit) / xi, SCORE_MAX)


@kernel
def tail_residual(score, unit, xi):
    """Return the |residual| at which `tail_score` reaches `score` >= L0: its inverse."""
    return unit * math.exp(xi * (score - L0))


@kernel
def tail_learn(tail, residual, unit, floor, xi, xi_prior, weight, memory, clamp_after):
    """Learn one |residual|.

    Parameters
    ----------
    tail : TAIL             changed in place
    residual : float        >= 0, in the unit of the series
    unit, xi : float        of the model before this point
    floor : float           as given to `tail_unit`; the quantiles never fall below it for long
    xi_prior, weight : float   as given to `tail_begin`
    memory : float          residuals that the quantile remembers; the extreme one 5 times as many
    clamp_after : int       residuals; from then on one counts no more than a score of 7, before
                            that an early burst is worth learning from
    """
    count = np.int64(tail.count)
    if count < LEARN_FROM:
        tail.mean += (residual - tail.mean) / (count + 1.0)
        tail.quantile = math.log(max(_QUANTILE_OF_MEAN * tail.mean, _LEAST))
        tail.extreme = math.log(max(_EXTREME_OF_MEAN * tail.mean, _LEAST))
        tail.count += 1
        return
    if unit <= floor:
        tail.quantile = tail.extreme = math.log(floor / 1.1)
    if count >= clamp_after and residual > unit:
        residual = min(residual, tail_residual(_CLAMP_SCORE, unit, xi))
    step = min(_STEP_MAX, _STEP / (min(count, memory) * _P))
    log_residual = math.log(max(residual, _LEAST))
    if log_residual > tail.quantile:
        tail.excess_sum += min(log_residual - tail.quantile, _EXCESS_MAX)
        tail.excess_weight += 1.0
        tail.quantile += step * (1.0 - _P)
    else:
        tail.quantile -= step * _P
    step = min(_STEP_MAX, _STEP_EXTREME / (min(count, 5.0 * memory) * _P_EXTREME))
    if log_residual > tail.extreme:
        tail.extreme += step * (1.0 - _P_EXTREME)
    else:
        tail.extreme -= step * _P_EXTREME
    keep = 1.0 - 1.0 / memory
    prior_sum = weight * xi_prior
    tail.excess_sum = prior_sum + (tail.excess_sum - prior_sum) * keep
    tail.excess_weight = weight + (tail.excess_weight - weight) * keep
    if count < 10 * memory:
        tail.count += 1

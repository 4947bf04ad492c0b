"""From a model and a table to Azure's results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamdet.multivariate.data import Frame, format_time
from streamdet.multivariate.evidence import increments, judged
from streamdet.multivariate.model import F64, I64, SETTLING, Model
from streamdet.multivariate.residuals import (
    levelled,
    raw_residuals,
    shocks,
    spread_of,
    standardised,
)

_ROUNDS = 4  # variables of an anomaly that are taken out one after the other
_ODD = 2.5  # usual residuals: of a smaller one alone a row is not anomalous
_GAP = 10  # rows between alarms of one incident
_CHANGED = 0.05  # of what a variable is told by: others of a smaller part are not named


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The evidence of n rows and m variables; more than `limit` is an anomaly."""

    evidence: F64
    """Shape (n,)"""
    parts: F64
    """Shape (n, m): of each variable, less what is told by another one's."""
    limit: float

    @property
    def anomalous(self) -> NDArray[np.bool_]:
        """Shape (n,)"""
        return self.evidence > self.limit


def judge(model: Model, value: F64, first: int = 0) -> Verdicts:
    """Return the evidence of each row from `first` on against the model.

    A variable that is anomalous spoils what is expected of those that are told by it. So the
    variable with the most evidence of an incident is taken out of what the others are judged by,
    its expected values in its place, and all is judged again: what remains belongs to others.
    """
    z = standardised(model, value[max(0, first - model.history) :])
    begin = max(0, len(z) - (len(value) - first) - SETTLING)  # no sum is needed before
    clean = z.copy()
    n, m = z.shape
    taken = np.zeros((n, m), np.bool_)
    limit = float(model.limit[0])
    for round_number in range(_ROUNDS):
        evidence, since, residual = _evidence(model, z, clean, taken, begin)
        parts = _by_variable(model, evidence, taken)
        if round_number == _ROUNDS - 1 or not _take(model, evidence, since, taken, parts, limit):
            break
        expected = z - _undelayed(model, residual)
        clean = np.where(taken, expected, z)
    # where all variables leap together each is as the others tell it, and yet it is an anomaly
    step = np.abs(np.diff(z, axis=0, prepend=z[:1])) / model.jump
    parts = np.maximum(parts, np.where(step > 1, step * limit, 0.0))
    parts = parts[len(z) - (len(value) - first) :]
    return Verdicts(parts.max(axis=1, initial=0.0), parts, limit)


def _evidence(
    model: Model, z: F64, clean: F64, taken: NDArray[np.bool_], begin: int
) -> tuple[F64, I64, F64]:
    """Return evidence, over how many rows, and residuals of each channel; 0 before `begin`."""
    residual, distance = raw_residuals(model, z, clean)
    e = residual / spread_of(model.distances, model.spread, distance)
    e[: model.reach] = 0.0  # the rows they are told by are not there
    e = levelled(e, model.sliding_window, _of_channels(model, taken))
    u = shocks(e, model.memory, model.shock)
    steps = increments(e[begin:], u[begin:])
    steps[: max(0, model.reach - begin)] = 0.0
    evidence, since = np.zeros(e.shape), np.zeros(e.shape, np.int64)
    evidence[begin:], since[begin:] = judged(
        steps, e[begin:], model.usual, model.rate, model.ceiling, float(model.limit[0])
    )
    # after an event a sum takes some rows to come down: they are not anomalous for that
    np.minimum(evidence, float(model.limit[0]), out=evidence, where=np.abs(e) < _ODD)
    return evidence, since, residual


def _of_channels(model: Model, taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which rows of each channel are about what was taken out, shape (n, c)."""
    about = taken[:, model.channel[:, 0]]
    for c in np.flatnonzero(model.channel[:, 1] > 0):
        delay = model.channel[c, 1]
        about[:, c] = np.append(np.zeros(min(delay, len(about)), np.bool_), about[:-delay, c])
    return about


def _undelayed(model: Model, residual: F64) -> F64:
    """Return the residuals of the channels without delay, one of each variable."""
    return residual[:, model.channel[:, 1] == 0]


def _by_variable(model: Model, evidence: F64, taken: NDArray[np.bool_]) -> F64:
    """Return the most evidence of each variable's channels, shape (n, m).

    A delayed channel does not tell once more of rows that its variable has already alarmed of.
    """
    at_once = _undelayed(model, evidence)
    known = taken & (at_once > model.limit[0])
    parts = at_once.copy()
    for c in np.flatnonzero(model.channel[:, 1] > 0):
        j, delay = model.channel[c]
        late = evidence[:, c].copy()
        late[delay:][known[:-delay, j]] = 0.0
        np.maximum(parts[:, j], late, out=parts[:, j])
    return parts


def _take(
    model: Model,
    evidence: F64,
    since: I64,
    taken: NDArray[np.bool_],
    parts: F64,
    limit: float,
) -> bool:
    """Mark of each incident the rows of the variable with the most evidence not yet marked."""
    more = False
    rows = np.flatnonzero((np.where(taken, 0.0, parts) > limit).any(axis=1))
    if not len(rows):
        return False
    for incident in np.split(rows, np.flatnonzero(np.diff(rows) > _GAP) + 1):
        begin, end = incident[0], incident[-1] + 1
        free = np.where(taken[begin:end], 0.0, parts[begin:end])
        j = int(np.where(free > limit, free, 0.0).sum(axis=0).argmax())
        for c in np.flatnonzero(model.channel[:, 0] == j):
            delay = int(model.channel[c, 1])
            for t in np.flatnonzero(evidence[begin:end, c] > limit) + begin:
                first = max(0, t - delay - int(since[t, c]) + 1)
                last = t - delay + 1
                if last > first and not taken[first:last, j].all():
                    taken[first:last, j] = True
                    more = True
    return more


def detect(
    model: Model, frame: Frame, top_contributor_count: int, first: int = 0
) -> list[dict[str, Any]]:
    """Return Azure's results of the rows from `first` on."""
    verdicts = judge(model, frame.value, first)
    related = _related(model)
    results = []
    for t, time_us in enumerate(frame.time_us[first:].tolist()):
        times = verdicts.evidence[t] / verdicts.limit
        anomalous = bool(times > 1)
        value = {
            "isAnomaly": anomalous,
            "severity": float(1 - 1 / times) if anomalous else 0.0,
            "score": float(2 - 2 * 0.5**times),
            "interpretation": _interpretation(model, verdicts.parts[t], related, verdicts.limit)[
                :top_contributor_count
            ]
            if anomalous
            else [],
        }
        results.append({"timestamp": format_time(time_us), "value": value, "errors": []})
    return results


def _related(model: Model) -> F64:
    """Return how much each variable is told by each other, shape (m, m), each row's sum 1."""
    undelayed = model.weight[:, :, model.channel[:, 1] == 0]
    size = np.abs(undelayed).sum(axis=0).T
    share: F64 = size / np.maximum(size.sum(axis=1, keepdims=True), 1e-12)
    return share


def _interpretation(model: Model, parts: F64, related: F64, limit: float) -> list[dict[str, Any]]:
    weight = parts**2
    share = weight / weight.sum()
    found = []
    for j in np.argsort(-share, kind="stable"):
        changed = []
        if parts[j] > limit:
            told = np.argsort(-related[j], kind="stable")
            changed = [model.variables[k] for k in told if related[j, k] > _CHANGED]
        found.append(
            {
                "variable": model.variables[j],
                "contributionScore": float(share[j]),
                "correlationChanges": {"changedVariables": changed},
            }
        )
    return found

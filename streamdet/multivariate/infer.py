"""From a model and a table to Azure's results."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamdet.multivariate.data import Frame, format_time
from streamdet.multivariate.model import Model


def detect(
    model: Model, frame: Frame, top_contributor_count: int, first: int = 0
) -> list[dict[str, Any]]:
    """Return Azure's results of the rows from `first` on."""
    z = np.clip((frame.value - model.center) / model.scale, -8, 8)
    surprise = np.abs(z @ model.weight / model.sigma)
    score = surprise.max(axis=1) / model.limit[0]
    results = []
    for t in range(first, len(z)):
        anomalous = bool(score[t] > 1)
        interpretation = []
        if anomalous:
            share = surprise[t] ** 2 / np.sum(surprise[t] ** 2)
            for j in np.argsort(-share, kind="stable")[:top_contributor_count]:
                interpretation.append(
                    {
                        "variable": model.variables[j],
                        "contributionScore": float(share[j]),
                        "correlationChanges": {"changedVariables": []},
                    }
                )
        value = {
            "isAnomaly": anomalous,
            "severity": float(1 - 1 / score[t]) if anomalous else 0.0,
            "score": float(min(score[t] / 2, 2.0)),
            "interpretation": interpretation,
        }
        results.append(
            {"timestamp": format_time(int(frame.time_us[t])), "value": value, "errors": []}
        )
    return results

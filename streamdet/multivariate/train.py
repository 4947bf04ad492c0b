"""From a table to a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamdet.multivariate.data import AlignPolicy, Frame
from streamdet.multivariate.model import Model


def train(
    frame: Frame, sliding_window: int, policy: AlignPolicy, schema: str
) -> tuple[Model, dict[str, Any]]:
    """Return the model of a table, and Azure's `modelState` of its training."""
    center = np.median(frame.value, axis=0)
    scale = np.percentile(frame.value, 75, axis=0) - np.percentile(frame.value, 25, axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    z = np.clip((frame.value - center) / scale, -8, 8)
    m = z.shape[1]
    precision = np.linalg.inv(z.T @ z / len(z) + 0.01 * np.eye(m))
    weight = precision / np.diag(precision)
    residual = z @ weight
    sigma = np.median(np.abs(residual), axis=0) * 1.4826 + 1e-6
    limit = np.array([np.quantile(np.max(np.abs(residual / sigma), axis=1), 0.999)])
    model = Model(
        frame.variables, sliding_window, policy, schema, center, scale, weight, sigma, limit
    )
    state: dict[str, Any] = {
        "epochIds": [],
        "trainLosses": [],
        "validationLosses": [],
        "latenciesInSeconds": [],
    }
    return model, state

"""What a model says of a series, before margins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A model's view of each value; all arrays have one length."""

    values: NDArray[np.float64]
    expected: NDArray[np.float64]
    trend: NDArray[np.float64]
    """The expected value without its season: what margins are measured by."""
    flagged: NDArray[np.bool_]
    scores: NDArray[np.float64] | None = None
    """Of the spectral residual: how salient each value is, 0 to 1 and more."""

"""What operations are done with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamdet.metrics import Metrics
from streamdet.multivariate.operations import Operations
from streamdet.serve.data_folder import DataFolder
from streamdet.serve.pool import Pool
from streamdet.serve.series import KeptSeries

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that an operation may use."""

    workers: Pool
    """Processes, for univariate detection."""
    threads: Pool
    """For the multivariate operations."""
    multivariate: Operations
    data: DataFolder
    """Files that they may name."""
    series_thread: Pool
    """One thread: the series are its alone."""
    series: KeptSeries
    metrics: Metrics
    not_ready: Callable[[], str | None]
    """Why requests should go elsewhere, in words; None: they should not."""

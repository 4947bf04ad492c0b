"""The period of a series, found.

Source: systems.md 3.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from streamdet.univariate.grid import Granularity
from streamdet.univariate.impute import linear

_CANDIDATES: dict[Granularity, tuple[int, ...]] = {
    "daily": (7,),
    "hourly": (168, 24),
    "minutely": (10080, 1440, 2880),
    "weekly": (12, 4),
    "monthly": (12,),
    "secondly": (604800, 86400, 172800),
    "microsecond": (1000,),
}
_STANDARD: dict[Granularity, int] = {
    "daily": 7,
    "hourly": 168,
    "minutely": 10080,
    "weekly": 12,
    "monthly": 12,
    "secondly": 604800,
}
_NIL = 1e-12
_SPECTRUM_LAGS_MAX = 5760


def find_period(values: NDArray[np.float64], granularity: Granularity, interval: int) -> int:
    """Return the period of `values` in slots, 0 where there is none.

    Parameters
    ----------
    values : float64[n]   a value a slot, none missing
    """
    if np.ptp(values) == 0:
        return 0
    count = len(values)
    calm = _without_spikes((values - values.min()) / np.ptp(values))
    period = _standard_period(calm, granularity, interval) or _spectrum_period(calm)
    standard, rest = divmod(_STANDARD.get(granularity, 0), interval)
    is_part = period > 1 and standard > 0 and rest == 0 and standard % period == 0
    return standard if is_part and count > 2 * standard else period


def _standard_period(values: NDArray[np.float64], granularity: Granularity, interval: int) -> int:
    """Return the first period that is usual at this granularity and found in `values`, or 0."""
    for candidate in _CANDIDATES.get(granularity, ()):
        period, rest = divmod(candidate, interval)
        if rest == 0 and period >= 4 and len(values) > 2 * period and _is_season(values, period):
            return period
    return 0


def _without_spikes(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `values` with those beyond 3 standard deviations on lines between the others."""
    return linear(values, np.abs(values - values.mean()) >= 3 * values.std())


def explained(values: NDArray[np.float64], period: int) -> float:
    """Return the share of variance that the phase explains of values it has not seen.

    Each value is predicted by the mean of the others of its phase.
    """
    variance = values.var()
    if variance == 0:
        return 0.0
    phases = np.arange(len(values)) % period
    counts = np.bincount(phases, minlength=period).astype(float)
    sums = np.bincount(phases, values, minlength=period)
    squares = np.bincount(phases, values**2, minlength=period)
    counts_less_one = np.maximum(counts - 1, 0.5)
    cv_mse = ((counts / counts_less_one) ** 2 * (squares - sums**2 / counts)).sum() / len(values)
    return float(1 - cv_mse / variance)


def _is_season(values: NDArray[np.float64], period: int) -> bool:
    least, least_detrended = (
        (0.35, 0.35) if period <= 24 else (0.15, 0.65) if period <= 168 else (0.10, 0.70)
    )
    if explained(values, period) > least:
        return True
    detrended = values - median_filter(values, size=period, mode="nearest")
    return explained(_calm_phases(detrended, period), period) > least_detrended


def _calm_phases(values: NDArray[np.float64], period: int) -> NDArray[np.float64]:
    """Return `values` with those beyond 3 MAD of their phase's median replaced by it."""
    padded = np.full(-(-len(values) // period) * period, np.nan)
    padded[: len(values)] = values
    cycles = padded.reshape(-1, period)
    median = np.nanmedian(cycles, axis=0)
    off = np.abs(cycles - median)
    mad = np.nanmedian(off, axis=0)
    spikes = (off > 3 * mad) & (mad > _NIL)  # where most are equal, what differs is no noise
    return np.where(spikes, median, cycles).ravel()[: len(values)]


def _spectrum_period(values: NDArray[np.float64]) -> int:
    """Return the period by autocorrelation, 0 where there is none."""
    period = 1
    while True:
        found = _strongest_lag(values[::period])
        if found <= 1:
            return period if period > 1 else 0
        period *= found


def _strongest_lag(values: NDArray[np.float64]) -> int:
    count = len(values)
    lags = min(count // 3, _SPECTRUM_LAGS_MAX)
    if lags < 3:
        return 0
    detrended = values - np.polynomial.Polynomial.fit(np.arange(count), values, 3)(np.arange(count))
    if detrended.std() < 1e-8:
        return 0
    acf = _autocorrelation(detrended, lags)
    bound = 1.645 * np.sqrt((1 + 2 * np.concatenate([[0], np.cumsum(acf[1:] ** 2)])[:-1]) / count)
    inner = acf[1:-1]
    peaks = np.flatnonzero((inner > acf[:-2]) & (inner >= acf[2:])) + 1
    peaks = peaks[np.argsort(-acf[peaks], kind="stable")]
    best, best_explained = 0, 0.20
    for lag in peaks:
        if acf[lag] < 0.1 or acf[lag] < bound[lag - 1]:
            break
        share = explained(detrended, int(lag))
        if share > best_explained and count / lag + 1 > 3:
            best, best_explained = int(lag), share
    return best


def _autocorrelation(values: NDArray[np.float64], lags: int) -> NDArray[np.float64]:
    centred = values - values.mean()
    size = 1 << (2 * len(values) - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    acf = np.fft.irfft(spectrum * spectrum.conj(), size)[: lags + 1]
    return np.asarray(acf / acf[0])

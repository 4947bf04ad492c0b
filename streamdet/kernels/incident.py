"""From anomalies to incidents: one onset, and a recovery when the series is itself again.

An incident begins with an anomaly and lasts until RECOVER_AFTER points in a row were settled: no
anomaly, and where the detector expected them before the incident. So an outage of three hours is
one incident, though its points stop being anomalies as the detector gets used to them, and so is
one in which the values pass through the band for a moment.
"""

from __future__ import annotations

from streamdet.kernels.conditions import SCORE_BEYOND, apply_conditions, beyond
from streamdet.kernels.jit import inlined

INCIDENT = [
    ("incident", "u1", 16),  # id of the onset's event; holds while to_recovery > 0
    ("to_recovery", "u1"),  # settled points that the open incident still needs; 0: none is open
]
"""Fields of every detector's row, 17 bytes. All zero: no incident."""

NONE = 0
ONSET = 1
ONGOING = 2
RECOVERED = 3

RECOVER_AFTER = 5  # points


@inlined
def follow(row, is_anomaly, settled):
    """Return NONE, ONSET, ONGOING or RECOVERED for the next point of a series.

    row : record          with INCIDENT; to_recovery is changed in place
    is_anomaly : bool     as it is published
    settled : bool        the value fits what was expected before the incident; of no meaning
                          outside of one
    """
    if is_anomaly:
        state = ONGOING if row.to_recovery > 0 else ONSET
        row.to_recovery = RECOVER_AFTER
        return state
    if row.to_recovery == 0:
        return NONE
    if not settled:
        row.to_recovery = RECOVER_AFTER
        return ONGOING
    row.to_recovery -= 1
    return ONGOING if row.to_recovery > 0 else RECOVERED


@inlined
def begin_incidents(row):
    """Forget an open incident: for a series that was idle for too long and begins anew.

    Its state may or may not have been freed meanwhile, which must make no difference.
    """
    row.to_recovery = 0


@inlined
def conclude(row, value, expected, upper_margin, lower_margin, score, settled):
    """Return what is published of a point that a detector has judged.

    Parameters
    ----------
    row : record              with CONDITIONS and INCIDENT, changed in place
    value : float             finite
    expected, upper_margin, lower_margin, score : float   the detector's; NaN: it says nothing
    settled : bool            see `follow`; a detector without a view of its own passes `fits`

    Returns
    -------
    (expected, upper_margin, lower_margin, score, is_anomaly, state)
        The score of a value beyond a hard bound is SCORE_BEYOND, whatever the detector's is.
    """
    if beyond(row, value) != 0:
        score = SCORE_BEYOND
    expected, upper_margin, lower_margin, is_anomaly = apply_conditions(
        row, value, expected, upper_margin, lower_margin
    )
    state = follow(row, is_anomaly, settled)
    return expected, upper_margin, lower_margin, score, is_anomaly, state

"""`streamdet state inspect --series`: all that the topic has of one series, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from streamdet.state_topic.contents import Access, Unusable, read_contents
from streamdet.state_topic.export import row_of, time_text, with_texts
from streamdet.state_topic.plain import TIMES, SeriesState, plain
from streamdet.types import SeriesId

RING_SHOWN = 10

WORDS = {
    # of kernels.header
    "time_us": "newest event time that was judged or learnt",
    "interval_us": "distance of the grid's values; months where the rule says so; 0: not known",
    "spacing_us": "candidate for it",
    "value": "newest value",
    "offset": "record that came last",
    "newest_us": "newest event time that came, held back or not",
    "spoke_us": "speaking time of the partition when it came",
    "impute_value": "what fills a gap in mode fixed",
    "raw": "a counter at its newest point",
    "raw_us": "when that was",
    "element": "point of that record; -1: it is one point",
    "n_pending": "points held back",
    "missing_share": "share of the newest values that are missing",
    "spacing_votes": "votes for the candidate",
    "stagger": "when its turn is, of 256",
    "begun": "a value was released since it began (anew)",
    "n_arrived": "points since then, at most 255",
    "absent": "it counts as absent",
    "transform": "0: values as they are, 1: rate from the next point on, 2: rate",
    # of kernels.conditions
    "upper_bound": "upperBound, where options has it",
    "lower_bound": "lowerBound, likewise",
    "min_deviation": "minDeviation.absolute",
    "min_deviation_share": "minDeviation.relative",
    "anomaly_share": "share of anomalies among the newest points",
    "anomaly_share_max": "maxAnomalyRatio",
    "anomaly_share_rate": "one over how many points are the newest",
    "outside_history": "bits: which of the newest 32 points were outside",
    "options": "bits: 1 upperBound, 2 lowerBound, 4 only up, 8 only down",
    "min_number": "suppressCondition.minNumber",
    "min_outside": "points of these that must be outside",
    # of kernels.incident
    "to_recovery": "settled points that the open incident still needs; 0: none is open",
    # of the detectors
    "sensitivity": "sensitivity",
    "warmup": "points before the first verdict",
    "count": "points learnt",
    "position": "place of the ring that is next",
    "recent": "level of the values as they come",
    "usual": "level of the values that fit",
    "last": "newest value",
    "scale": "mean distance from recent",
    "resolution": "steps that the values are rounded to",
    "run": "points in a row too far from usual to be learnt",
    "slow_run": "points in a row that the slow level does not follow",
    "anew": "it begins anew with its next point",
    "season.level": "slow level",
    "season.period": "points in a season; 0: none",
    "season.stride": "points of a slot of the ring",
    "season.filled": "slots of the ring that hold something",
    "season.position": "slot that is being filled",
    "season.use": "0: no season, 1: the period's, 2: the week's",
    "season.known": "the ring holds deviations from a moving level",
    "season.given": "the period is the user's",
    "season.rounds": "times that the ring went round",
}
"""What fields of a row mean, of those with a meaning to people who do not read the kernels."""


def find_series(
    access: Access, group: str, series: SeriesId
) -> tuple[list[SeriesState], list[Unusable]]:
    """Return the state of a series in each partition that has it, and what could not be read."""
    name = str(series)
    found: list[SeriesState] = []
    unusable: list[Unusable] = []
    for contents in read_contents(access, group):
        for stored in contents.own.values():
            for chunk in stored.chunks():
                if isinstance(chunk, Unusable):
                    unusable.append(chunk)
                elif name in chunk.names:
                    found += [each for each in plain(chunk, stored.input) if each.series == series]
    return found, unusable


def document_of(state: SeriesState) -> dict[str, Any]:
    """Return the state of a series for a script: as `export` has it, and where it lies."""
    return {
        "series": str(state.series),
        **with_texts(row_of(state)),
        "chunk": state.chunk,
        "slot": state.slot,
        "configHash": state.config_hash,
        "overrides": _overrides(state),
    }


def lines_of(state: SeriesState) -> Iterator[str]:
    """Yield the state of a series for people."""
    yield f"{state.series} in {state.input}"
    yield f"  detector      {state.detector}, ring of {state.ring_length}"
    yield f"  place         chunk {state.chunk}, slot {state.slot}"
    yield f"  input         contained up to offset {state.offset:,}"
    yield f"  settings      {state.config_hash}" + ("; made of other series" * state.rolled_up)
    if overrides := _overrides(state):
        yield "  by request    " + ", ".join(f"{k} {v}" for k, v in overrides.items())
    yield f"  newest        {time_text(state.time_us) or 'none'}"
    yield f"  season        {f'{state.period} points' if state.period else 'none'}"
    yield f"  incident      {state.incident or 'none'}"
    newest = ", ".join("-" if x is None else f"{x:.6g}" for x in state.ring[-RING_SHOWN:])
    yield f"  ring          {len(state.ring):,} values, the newest last: {newest or '-'}"
    yield f"  held back     {len(state.pending):,} points"
    for each in state.pending:
        where = f"offset {each['offset']}" + (f"[{each['element']}]" * (each["element"] >= 0))
        yield f"    {time_text(each['time_us'])}  {each['value']:.6g}  {where}"
    yield "  row"
    fields = list(_flat(state.row))
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        shown = _shown(name, value)
        yield f"    {name:{width}}  {shown:24}  {WORDS.get(name, '')}".rstrip()


def _overrides(state: SeriesState) -> dict[str, Any]:
    given = {} if state.overrides is None else asdict(state.overrides)
    return {name: value for name, value in given.items() if value is not None}


def _flat(row: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value


def _shown(name: str, value: Any) -> str:  # noqa: ANN401  # of any field
    if name in TIMES:
        return time_text(value) or "never"
    if isinstance(value, list):
        return ", ".join(_shown("", each) for each in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None else str(value)

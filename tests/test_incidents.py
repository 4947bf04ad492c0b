"""Incidents and the options of a rule, through the whole service on the in-memory broker."""

from __future__ import annotations

import json

import pytest

from tests.service import (
    ANOMALIES,
    INPUT,
    START_MS,
    Worker,
    broker,
    config,
    events,
    noise,
    point,
    produce,
    with_spikes,
)

OUTAGE = range(100, 118)


def outage(n=200, seed=0, during=OUTAGE, value=0.0):
    values = noise(n, seed)
    for i in during:
        values[i] = value
    return values


def run(values, settings=None, **dimensions):
    """Return the events of one series."""
    on = broker()
    produce(on, [point(m, v, **dimensions) for m, v in enumerate(values)])
    Worker(on, settings).drain()
    return on, events(on)


def states(found):
    return {event["source"]["offset"]: event["state"] for event in found}


def anomalous(found):
    return [event["source"]["offset"] for event in found if event["isAnomaly"]]


def test_an_outage_is_one_onset_and_one_recovery_with_one_id():
    on, found = run(outage(), config(publish="all"), host="a")
    inside = {at: state for at, state in states(found).items() if state}
    first, last = min(inside), max(inside)
    assert (first, last) == (OUTAGE.start, OUTAGE.stop + 4)
    assert inside[first] == "onset"
    assert inside[last] == "recovered"
    assert {inside[at] for at in range(first + 1, last)} == {"ongoing"}
    assert {e["incident"] for e in found if e["state"]} == {found[first]["id"]}
    assert all(e["incident"] is None for e in found if not e["state"])
    types = [dict(record.headers)["ce_type"].decode() for record in on.read(ANOMALIES)]
    assert types[first] == "io.streamdet.anomaly.v1"
    assert types.count("io.streamdet.recovery.v1") == 1
    assert types[last] == "io.streamdet.recovery.v1"


def test_an_outage_of_three_hours_of_minutes_is_one_incident():
    hours = range(300, 480)
    _, found = run(outage(600, during=hours), config(publish="onsets"))
    assert states(found) == {hours.start: "onset", hours.stop + 4: "recovered"}


def test_a_shift_that_lasts_recovers_when_it_is_the_new_normal():
    _, found = run(outage(400, during=range(100, 400), value=200.0), config(publish="onsets"))
    assert list(states(found).values()) == ["onset", "recovered"]
    assert states(found)[100] == "onset"
    assert max(states(found)) < 350  # an outage may last 240 points


def test_what_is_published_is_what_was_asked_for():
    values = outage(during=[*OUTAGE, 150])
    everything = run(values, config(publish="all"))[1]
    found = {name: run(values, config(publish=name))[1] for name in ("anomalies", "onsets")}
    assert len(everything) == len(values)
    turns = [e for e in everything if e["state"] in ("onset", "recovered")]
    assert found["onsets"] == turns
    assert [e["state"] for e in turns] == ["onset", "recovered"] * 2
    assert found["anomalies"] == [e for e in everything if e["isAnomaly"] or e in turns]
    assert len({e["incident"] for e in turns}) == 2


@pytest.mark.parametrize("batch_records", [1, 7, 105])
@pytest.mark.parametrize("publish", ["anomalies", "onsets", "all"])
def test_incidents_do_not_depend_on_where_batches_end(batch_records, publish):
    def found(limit):
        on = broker()
        for minute, rows in enumerate(zip(*(outage(seed=s) for s in range(3)), strict=True)):
            produce(
                on, [point(minute, value, host=h) for h, value in zip("abc", rows, strict=True)]
            )
        Worker(on, config(limits={"batch_records": limit}, publish=publish)).drain()
        return events(on)

    assert found(batch_records) == found(4000)
    assert len({e["incident"] for e in found(4000)} - {None}) == 3


def test_a_series_that_was_idle_for_too_long_forgets_its_incident():
    on = broker()
    day = 24 * 60
    produce(on, [point(m, v) for m, v in enumerate(with_spikes(61, at=[60]))])
    produce(on, [point(3 * day + m, v) for m, v in enumerate(noise(40, 1))])
    limits = {"series_ttl": "1d", "max_future": "9d"}
    Worker(on, config(limits=limits, publish="all")).drain()
    found = events(on)
    assert found[60]["state"] == "onset"
    assert not any(e["state"] for e in found[61:])


def test_an_incident_that_ends_with_a_move_to_a_longer_ring_keeps_its_id_up_to_there():
    def found(limit):
        on = broker()
        values = with_spikes(100, at=[60])
        produce(on, [point(m, v) for m, v in enumerate(values[:63])])
        series = [{"timestamp": START_MS + 63 * 60_000, "value": values[63]}]
        body = {"metric": "m", "granularity": "minutely", "period": 288, "series": series}
        produce(on, [json.dumps(body).encode()])
        settings = config(limits={"batch_records": limit}, publish="all", detection={"period": 0})
        Worker(on, settings).drain()
        return events(on)

    assert found(4000) == found(62) == found(1)
    assert [e["state"] for e in found(4000)[60:]] == ["onset", "ongoing", "ongoing", None]
    assert {e["incident"] for e in found(62)[60:63]} == {found(62)[60]["id"]}


def test_incidents_are_counted_by_the_direction_of_their_onset():
    on = broker()
    produce(on, [point(m, v) for m, v in enumerate(with_spikes(200, at=[60, 150]))])
    produce(on, [point(m, v, host="a") for m, v in enumerate(outage())])
    worker = Worker(on)
    worker.drain()
    assert worker.metric("incidents_total", topic=INPUT, direction="positive") == 2
    assert worker.metric("incidents_total", topic=INPUT, direction="negative") == 1


SPIKES = {50: 90.0, 60: 110.0, 70: 150.0, 120: 50.0}


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({}, [50, 60, 70, 120]),
        ({"direction": "up"}, [60, 70]),
        ({"direction": "down"}, [50, 120]),
        ({"minDeviation": {"absolute": 20}}, [70, 120]),
        ({"minDeviation": {"relative": 0.2}}, [70, 120]),
        ({"upperBound": 120, "direction": "down"}, [50, 70, 120]),
        ({"suppressCondition": {"minNumber": 11, "minRatio": 18}}, [60, 70]),
        ({"maxAnomalyRatio": 0.01, "ring_length": 64}, [50, 120]),
    ],
)
def test_a_rule_sets_its_options_for_its_series_alone(options, want):
    values = [SPIKES.get(m, v) for m, v in enumerate(noise(150))]
    on = broker()
    for host in ("a", "b"):
        produce(on, [point(m, v, host=host) for m, v in enumerate(values)])
    rules = [{"match": {"dimensions": {"host": "b"}}, "set": options}]
    Worker(on, config(rules=rules)).drain()
    by_host = {h: [e for e in events(on) if e["dimensions"]["host"] == h] for h in "ab"}
    assert [at - 150 for at in anomalous(by_host["b"])] == want
    assert anomalous(by_host["a"]) == [50, 60, 70, 120]


def test_a_hard_bound_speaks_from_the_first_point_on():
    _, found = run([120.0, *noise(30)], config(detection={"upperBound": 110}))
    [onset, recovery] = found
    assert (onset["source"]["offset"], onset["state"], onset["status"]) == (0, "onset", "ok")
    assert onset["expectedValue"] == onset["upperBoundary"] == 110
    assert (onset["score"], onset["isPositiveAnomaly"]) == (100, True)
    assert onset["severity"] > 0.99
    assert (recovery["state"], recovery["status"]) == ("recovered", "warming")


def test_the_ratio_of_a_request_acts_from_its_point_on():
    def found(limit):
        on = broker()
        for minute, value in enumerate(with_spikes(120, at=[20, 30, 60, 70])):
            series = [{"timestamp": START_MS + minute * 60_000, "value": value}]
            more = {"maxAnomalyRatio": 0.01} if minute == 50 else {}
            body = {"metric": "m", "granularity": "minutely", "series": series, **more}
            produce(on, [json.dumps(body).encode()])
        settings = config(limits={"batch_records": limit}, detection={"ring_length": 64})
        Worker(on, settings).drain()
        return anomalous(events(on))

    assert found(4000) == found(1) == found(13) == [20, 30]

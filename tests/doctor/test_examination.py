"""Who is asked what, what is left out when nobody answers, and that time has an end."""

import pytest

from streamdet.cluster import Cluster, Offsets, Reach
from streamdet.doctor import Check, examine
from streamdet.types import Partition
from tests.doctor.facts import (
    DEAD_LETTERS,
    EVENTS,
    GROUP,
    INPUT,
    NOON_MS,
    STATE,
    UNTOLD,
    Brokers,
    Topic,
    config,
    point,
    topic,
)


def sound_topics():
    return [topic(), topic(EVENTS), topic(DEAD_LETTERS), topic(STATE, cleanup_policy="compact")]


def records():
    filled = Topic()
    for minute in range(20):
        for i in range(2):
            time_ms = NOON_MS + 60_000 * minute
            filled.add(point(time_ms, host=str(i)), i, b"%d" % i, time_ms)
    return filled


class Examined:
    """An examination of a made up cluster."""

    def __init__(self, brokers=None, settings=None, topics=None, timeout_s=5.0):
        self.brokers = brokers or Brokers(sound_topics())
        self.read = {}
        topics = topics or {INPUT: records()}

        def open_reader(name, spans, silence_max_s):
            self.read[name] = spans
            return topics[name]

        self.findings = list(examine(settings or config(), self.brokers, open_reader, timeout_s))

    def of(self, check):
        return [(each.subject, each.status.value) for each in self.findings if each.check == check]


def test_a_sound_service_is_well_in_every_check_there_is():
    examined = Examined()
    assert {each.status.value for each in examined.findings} == {"ok"}
    assert {each.check for each in examined.findings} == set(Check) - {Check.SETTINGS}


def test_the_newest_records_of_each_partition_are_read():
    places = [Partition(INPUT, i) for i in range(2)]
    found = {places[0]: Offsets(0, 9_000, 9_000, 9_000), places[1]: Offsets(30, 50, 60, 50)}
    examined = Examined(Brokers(sound_topics(), offsets=found))
    assert examined.read == {INPUT: {0: (7_000, 9_000), 1: (30, 50)}}


def test_of_many_partitions_fewer_records_each_are_read():
    found = {Partition(INPUT, i): Offsets(0, 9_000, 9_000, 9_000) for i in range(200)}
    examined = Examined(Brokers(sound_topics(), offsets=found))
    assert examined.read[INPUT][199] == (8_500, 9_000)


def test_without_a_connection_all_the_rest_is_unknown():
    servers = [Reach("one:9092", failed="TCP", fault="refused")]
    examined = Examined(Brokers([], servers=servers, cluster=UNTOLD))
    assert examined.of(Check.SERVER) == [("one:9092", "fail")]
    names = (INPUT, EVENTS, DEAD_LETTERS, STATE)
    assert examined.of(Check.TOPIC) == [(name, "unknown") for name in names]
    assert examined.of(Check.GROUP) == [(GROUP, "unknown")]
    assert "group" not in examined.brokers.asked


def test_an_advertised_address_is_tried_once_and_not_again():
    examined = Examined()
    assert examined.of(Check.SERVER) == [("one:9092", "ok")]
    assert examined.of(Check.ADVERTISED) == [("two:9092", "ok")]


def test_a_missing_topic_is_told_and_the_others_are_looked_at():
    settings = config(input={"topics": [INPUT, "gone"]})
    examined = Examined(settings=settings)
    assert ("gone", "fail") in examined.of(Check.TOPIC)
    assert examined.of(Check.DECODING) == [(INPUT, "ok")]


def test_a_state_topic_with_fewer_partitions_than_any_input_fails():
    settings = config(input={"topics": ["^po"]})
    topics = [topic("points"), topic("polls", 3), *sound_topics()[1:]]
    examined = Examined(Brokers(topics), settings, dict.fromkeys(("points", "polls"), records()))
    (finding,) = (each for each in examined.findings if each.check == Check.STATE)
    assert (finding.subject, finding.status) == (STATE, "fail")
    assert "fewer than polls (3)" in finding.found
    assert finding.advice == f"add partitions to {STATE}, to 3 or more"


def test_without_a_state_topic_none_is_looked_at():
    examined = Examined(Brokers(sound_topics()[:3]), config(state={"topic": None}))
    assert {each.status.value for each in examined.findings} == {"ok"}
    assert not examined.of(Check.STATE)


def test_a_pattern_stands_for_the_topics_it_matches():
    settings = config(input={"topics": ["^po", "^nothing"]})
    examined = Examined(settings=settings)
    assert examined.of(Check.TOPIC)[:2] == [("^nothing", "warn"), (INPUT, "ok")]


def test_without_offsets_nothing_is_read():
    examined = Examined(Brokers(sound_topics(), offsets=UNTOLD))
    assert examined.read == {}
    assert examined.of(Check.OFFSETS) == [(GROUP, "unknown")]
    assert examined.of(Check.DECODING) == [(INPUT, "unknown")]


def test_a_group_that_stands_still_is_seen_by_a_second_look():
    still = {Partition(INPUT, i): Offsets(0, 1_000, 1_000, 10) for i in range(2)}
    settings = config(commit_interval="10ms")
    examined = Examined(Brokers(sound_topics(), offsets=still), settings)
    assert examined.of(Check.OFFSETS) == [(GROUP, "fail")]
    assert examined.brokers.asked.count("offsets") == 2


def test_a_second_look_that_there_is_no_time_for_is_not_waited_for():
    still = {Partition(INPUT, i): Offsets(0, 1_000, 1_000, 10) for i in range(2)}
    settings = config(commit_interval="5m", transaction_timeout="15m")
    examined = Examined(Brokers(sound_topics(), offsets=still), settings, timeout_s=1)
    assert examined.of(Check.OFFSETS) == [(GROUP, "ok")]


@pytest.mark.parametrize("administered", [True, False])
def test_what_brokers_leave_untold_is_unknown_and_nothing_fails(administered):
    untold = [type(t)(t.name, t.partitions, None, UNTOLD) for t in sound_topics()]
    brokers = Brokers(
        untold,
        cluster=Cluster("c", ("one:9092",), frozenset(), administered),
        group=UNTOLD,
        broker_settings=UNTOLD,
    )
    examined = Examined(brokers)
    assert "fail" not in {each.status for each in examined.findings}
    assert [status for _, status in examined.of(Check.SETTINGS)] == ["unknown"] * 4

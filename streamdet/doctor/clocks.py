"""This machine's clock and those that wrote the newest records, as far as records can tell."""

from __future__ import annotations

from collections.abc import Iterator

from streamdet.cluster import TopicAnswer, TopicState, Untold
from streamdet.doctor.finding import Check, Finding, Told, span
from streamdet.doctor.sample import TopicSample

_JITTER_S = 2.0


def check_clock(sample: TopicSample, topic: TopicAnswer, now_s: float) -> Iterator[Finding]:
    """Compare the newest record's time with this machine's; only one ahead can be told apart.

    now_s : seconds since 1970, by this machine, once the sample was read
    """
    told = Told(Check.CLOCK, sample.topic)
    if sample.newest_ms is None or sample.newest_ms < 0:
        yield told.unknown("there is no record with a time to compare with")
        return
    whose = "the record's"
    if isinstance(topic, TopicState) and not isinstance(topic.settings, Untold):
        appended = topic.settings.get("message.timestamp.type") == "LogAppendTime"
        whose = "a broker's" if appended else "a producer's"
    ahead_s = sample.newest_ms / 1000 - now_s
    if ahead_s > _JITTER_S:
        yield told.warn(
            f"the newest record is {span(ahead_s)} ahead of this machine: {whose} clock, or this "
            "one, is wrong",
            "let all machines take their time by NTP; compare: date -u",
        )
    else:
        yield told.ok(
            f"the newest record is {span(max(-ahead_s, 0))} old, by {whose} clock and this one"
        )

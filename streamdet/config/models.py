"""The settings: one frozen model a section of the file. Names here are the names in the file.

streamdet's own settings are snake_case; detection parameters keep Azure's camelCase in the file
and are snake_case attributes. A duration is a `timedelta`, a size a number of bytes. What one
field says of itself is checked by its type; what fields say together, by `problems`, which
yields the place (keys and indices from the top of the section) and what is wrong with it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from streamdet.config.detection import DetectionConfig, RuleConfig
from streamdet.config.kafka import KafkaConfig
from streamdet.config.section import Problems, Section
from streamdet.config.serve import ServeConfig
from streamdet.config.values import MICROSECOND, Duration, Size
from streamdet.types import SeriesId

TimestampUnit = Literal["s", "ms", "us", "ns"]

_TOPIC_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")


class TopicConfig(Section):
    """One input topic, or a pattern of topics."""

    name: str = Field(description="A topic's name, or a pattern that begins with ^.")
    timestamp_unit: TimestampUnit | None = Field(
        default=None, description="Unit of its integer timestamps; null takes input.timestamp_unit."
    )

    @field_validator("name")
    @classmethod
    def _usable(cls, name: str) -> str:
        if name.startswith("^"):
            try:
                re.compile(name)
            except re.error as error:
                raise ValueError(f"is no pattern: {error}") from None
        return name if name.startswith("^") else _topic_name(name)

    @property
    def is_pattern(self) -> bool:
        """Whether the name stands for every topic it matches."""
        return self.name.startswith("^")

    def covers(self, topic: str) -> bool:
        """Return whether `topic` is this topic, or matches this pattern."""
        return re.match(self.name, topic) is not None if self.is_pattern else self.name == topic


def _topic_name(name: str) -> str:
    if not _TOPIC_NAME.fullmatch(name):
        raise ValueError("is no topic name: 1 to 249 of letters, digits, '.', '_' and '-'")
    return name


TopicName = Annotated[str, AfterValidator(_topic_name)]
TopicEntry = Annotated[
    TopicConfig,
    BeforeValidator(
        lambda v: {"name": v} if isinstance(v, str) else v,
        json_schema_input_type=str | TopicConfig,
    ),
]


class InputConfig(Section):
    """Which topics carry points."""

    topics: tuple[TopicEntry, ...] = Field(
        default=(TopicConfig(name="metrics"),),
        min_length=1,
        description="Topics to read: names, patterns that begin with ^, or {name, timestamp_unit}.",
    )
    timestamp_unit: TimestampUnit = Field(
        default="ms", description="Unit of integer timestamps: s, ms, us or ns."
    )

    def timestamp_unit_for(self, topic: str) -> TimestampUnit:
        """Return the unit for `topic`; its own name comes before patterns, else the first wins."""
        entries = sorted(self.topics, key=lambda entry: entry.is_pattern)
        found = next((entry.timestamp_unit for entry in entries if entry.covers(topic)), None)
        return found or self.timestamp_unit


class OutputConfig(Section):
    """Where verdicts and rejects go."""

    anomalies: TopicName = Field(default="streamdet.anomalies", description="Topic of the events.")
    dead_letters: TopicName = Field(
        default="streamdet.dead-letters", description="Topic of the records that cannot be used."
    )
    late: TopicName = Field(
        default="streamdet.late",
        description="Topic of the points that come too late, where a rule says late: topic.",
    )
    publish: Literal["anomalies", "onsets", "all"] = Field(
        default="anomalies",
        description="Every anomaly and each incident's recovery; only each incident's first "
        "anomaly (onset) and recovery; or a verdict for every point.",
    )


class LimitsConfig(Section):
    """What bounds memory and what a sane point is."""

    max_series: int = Field(
        default=100_000,
        ge=1,
        le=10_000_000,
        description="Series a partition; later ones are dropped.",
    )
    series_ttl: Duration | None = Field(
        default=timedelta(days=14),
        le=timedelta(days=36500),
        description="Event time after which an idle series is forgotten; 0 or null: never.",
    )
    batch_records: int = Field(
        default=4000, ge=1, le=100_000, description="Records taken at once; the unit of work."
    )
    max_record_bytes: Size = Field(
        default=2**20, ge=2**10, le=100 * 2**20, description="A longer value is a dead letter."
    )
    max_future: Duration = Field(
        default=timedelta(days=1),
        gt=timedelta(),
        le=timedelta(days=36500),
        description="How far a point's time may lie past its record's own time.",
    )
    earliest: AwareDatetime = Field(
        default=datetime(2000, 1, 1, tzinfo=UTC),
        description="A point before this time is a dead letter.",
    )
    max_dimensions: int = Field(
        default=64, ge=0, le=1024, description="Dimensions a series may have."
    )

    max_pending_points: int = Field(
        default=4096,
        ge=16,
        le=1_000_000,
        description="Points a series may hold back; with more the oldest is released early.",
    )

    @field_validator("series_ttl")
    @classmethod
    def _zero_is_never(cls, ttl: timedelta | None) -> timedelta | None:
        return ttl or None

    @property
    def series_ttl_us(self) -> int:
        """Microseconds of event time; 0: never."""
        return (self.series_ttl or timedelta()) // MICROSECOND

    @property
    def max_future_us(self) -> int:
        """Microseconds."""
        return self.max_future // MICROSECOND

    @property
    def earliest_us(self) -> int:
        """Microseconds since 1970."""
        return (self.earliest - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND


class StateConfig(Section):
    """Where the state of series is kept, so that it outlives a worker."""

    topic: TopicName | None = Field(
        default="streamdet.state",
        description="Compacted topic of the state, with as many partitions as the input; null: "
        "series begin cold after every restart and rebalance.",
    )
    bytes_per_second: Size = Field(
        default=2 * 2**20,
        ge=2**10,
        le=2**30,
        description="How much state a worker writes. Less: more of the input is replayed at a "
        "restart.",
    )
    on_gap: Literal["continue", "fail"] = Field(
        default="continue",
        description="When retention has taken input that the state needs: say so and go on with "
        "what there is, or end.",
    )


class MetricsConfig(Section):
    """The HTTP port of /metrics, /healthz and /readyz."""

    host: str = Field(
        default="0.0.0.0",  # noqa: S104  # a scraper and a kubelet come from other hosts
        min_length=1,
        description="Address to listen on.",
    )
    port: int = Field(default=9108, ge=0, le=65535, description="Port; 0: any free one.")


class LoggingConfig(Section):
    """How the worker speaks on standard error."""

    format: Literal["text", "json"] = Field(
        default="text", description="One line an event, in this form."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe level that is written."
    )


class Config(Section):
    """Everything an operator can set."""

    kafka: KafkaConfig = KafkaConfig()
    input: InputConfig = InputConfig()
    output: OutputConfig = OutputConfig()
    delivery: Literal["exactly_once", "at_least_once"] = Field(
        default="exactly_once",
        description="Output and offsets in one transaction, or offsets after the output.",
    )
    commit_interval: Duration = Field(
        default=timedelta(seconds=1),
        ge=timedelta(milliseconds=10),
        le=timedelta(minutes=5),
        description="Time between commits; readers of committed records wait as long.",
    )
    commit_mode: Literal["interval", "eager"] = Field(
        default="interval",
        description="Commit every commit_interval, or eagerly: as soon as events wait, too.",
    )
    transaction_timeout: Duration = Field(
        default=timedelta(seconds=30),
        ge=timedelta(seconds=1),
        le=timedelta(minutes=15),
        description="After it the broker aborts the transaction of a worker that is gone.",
    )
    shutdown_timeout: Duration = Field(
        default=timedelta(seconds=20),
        ge=timedelta(seconds=1),
        le=timedelta(minutes=15),
        description="Grace on SIGTERM: finish the batch, commit, leave the group.",
    )
    state: StateConfig = StateConfig()
    limits: LimitsConfig = LimitsConfig()
    detection: DetectionConfig = DetectionConfig()
    rules: tuple[RuleConfig, ...] = Field(
        default=(),
        description="The first rule that fits a series sets its parameters over `detection`.",
    )
    serve: ServeConfig = ServeConfig()
    metrics: MetricsConfig = MetricsConfig()
    logging: LoggingConfig = LoggingConfig()

    def detection_for(self, series: SeriesId) -> DetectionConfig:
        """Return the parameters for `series`: the first rule that fits, over `detection`."""
        return self.detection_lookup(series)

    @cached_property
    def detection_lookup(self) -> Callable[[SeriesId], DetectionConfig]:
        """What `detection_for` calls: it remembers its answers, for a bounded number of series."""
        rules = [(rule.match, rule.over(self.detection)) for rule in self.rules]

        @lru_cache(maxsize=100_000)
        def lookup(series: SeriesId) -> DetectionConfig:
            return next((found for match, found in rules if match.fits(series)), self.detection)

        return lookup

    @property
    def detectors(self) -> frozenset[str]:
        """The names of all that may judge a series."""
        return frozenset(detection.detector for detection in self.detections)

    @property
    def output_topics(self) -> tuple[str, ...]:
        """The topics a worker writes: output.late only where something is sent there."""
        written = (self.output.anomalies, self.output.dead_letters)
        late = any(detection.late == "topic" for detection in self.detections)
        return (*written, self.output.late) if late else written

    @property
    def detections(self) -> tuple[DetectionConfig, ...]:
        """Everything that `detection_for` may return."""
        return (self.detection, *(rule.over(self.detection) for rule in self.rules))

    @cached_property
    def detection_hash(self) -> str:
        """Twelve hexadecimal digits that change with whatever can change a verdict."""
        settings = self.model_dump(
            mode="json", by_alias=True, include={"detection", "rules", "limits"}
        )
        del settings["limits"]["batch_records"]  # how points are grouped decides nothing
        units = {entry.name: entry.timestamp_unit for entry in self.input.topics}
        settings["timestamp_units"] = [
            self.input.timestamp_unit,
            {name: unit for name, unit in units.items() if unit},
        ]
        text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def __copy__(self) -> Config:
        """Copy the fields only: `model_copy` may change what the cached properties came from."""
        copy = super().__copy__()
        for name in ("detection_lookup", "detection_hash"):
            copy.__dict__.pop(name, None)
        return copy

    @model_validator(mode="after")
    def _fields_agree(self) -> Config:
        found = [(list(place), message) for place, message in self.problems()]
        if found:
            raise PydanticCustomError("disagreement", "{found}", {"found": found})
        return self

    def problems(self) -> Problems:
        """Yield what fields say together that cannot be."""
        yield from ((("kafka", *place), text) for place, text in self.kafka.problems())
        yield from ((("serve", *place), text) for place, text in self.serve.problems())
        inherited = list(self._detection_problems(self.detection))
        yield from ((("detection", *place), text) for place, text in inherited)
        for index, rule in enumerate(self.rules):
            for problem in self._detection_problems(rule.over(self.detection)):
                if problem not in inherited:
                    yield ("rules", index, "set", *problem[0]), problem[1]
        yield from self._topic_problems()
        if self.commit_interval >= self.transaction_timeout:
            yield ("commit_interval",), "must be shorter than transaction_timeout"

    def _detection_problems(self, detection: DetectionConfig) -> Problems:
        yield from detection.problems()
        ttl = self.limits.series_ttl
        if ttl is None:
            return
        if detection.longest_interval > ttl:
            what = "makes an interval longer than limits.series_ttl, after which a series is"
            yield ("granularity",), f"{what} forgotten; raise that, or set it to 0"
        if detection.absent_after_us >= self.limits.series_ttl_us:
            what = "must be shorter than limits.series_ttl, after which a series is forgotten"
            yield ("absent_after",), what

    def _topic_problems(self) -> Problems:
        topics = {
            f"output.{name}": getattr(self.output, name)
            for name in ("anomalies", "dead_letters", "late")
        }
        if self.state.topic is not None:
            topics["state.topic"] = self.state.topic
        names = list(topics)
        for at, name in enumerate(names):
            same = next((other for other in names[:at] if topics[other] == topics[name]), None)
            if same:
                yield tuple(name.split(".")), f"must not be the topic of {same}"
        for index, entry in enumerate(self.input.topics):
            for name, topic in topics.items():
                if entry.covers(topic):
                    what = f"takes in {name}: streamdet would read what it writes"
                    yield ("input", "topics", index), f"{what}; make the two differ"

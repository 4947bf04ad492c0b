"""Configuration: frozen models of one YAML file; the only reader of YAML and the environment."""

from streamdet.config.detection import (
    PERIODS_PER_RING,
    RING_LENGTH_MAX,
    DetectionConfig,
    MatchConfig,
    RuleConfig,
)
from streamdet.config.event_time import (
    AggregateConfig,
    AggregateFunction,
    DuplicatePolicy,
    Granularity,
    ImputeMode,
    LatePolicy,
    RollupConfig,
    interval_us,
)
from streamdet.config.kafka import KafkaConfig
from streamdet.config.loading import load, schema, show
from streamdet.config.models import (
    Config,
    InputConfig,
    LimitsConfig,
    LoggingConfig,
    MetricsConfig,
    OutputConfig,
    StateConfig,
    TimestampUnit,
    TopicConfig,
)
from streamdet.config.serve import KeyConfig, ServeConfig

__all__ = [
    "PERIODS_PER_RING",
    "RING_LENGTH_MAX",
    "AggregateConfig",
    "AggregateFunction",
    "Config",
    "DetectionConfig",
    "DuplicatePolicy",
    "Granularity",
    "ImputeMode",
    "InputConfig",
    "KafkaConfig",
    "KeyConfig",
    "LatePolicy",
    "LimitsConfig",
    "LoggingConfig",
    "MatchConfig",
    "MetricsConfig",
    "OutputConfig",
    "RollupConfig",
    "RuleConfig",
    "ServeConfig",
    "StateConfig",
    "TimestampUnit",
    "TopicConfig",
    "interval_us",
    "load",
    "schema",
    "show",
]

"""Configuration: frozen models of one YAML file; the only reader of YAML and the environment."""

from streamdet.config.detection import (
    PERIODS_PER_RING,
    RING_LENGTH_MAX,
    DetectionConfig,
    Granularity,
    ImputeMode,
    MatchConfig,
    RuleConfig,
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
    TimestampUnit,
    TopicConfig,
)

__all__ = [
    "PERIODS_PER_RING",
    "RING_LENGTH_MAX",
    "Config",
    "DetectionConfig",
    "Granularity",
    "ImputeMode",
    "InputConfig",
    "KafkaConfig",
    "LimitsConfig",
    "LoggingConfig",
    "MatchConfig",
    "MetricsConfig",
    "OutputConfig",
    "RuleConfig",
    "TimestampUnit",
    "TopicConfig",
    "interval_us",
    "load",
    "schema",
    "show",
]

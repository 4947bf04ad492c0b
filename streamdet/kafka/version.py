"""The version of librdkafka, which is not that of the package it comes with."""

from __future__ import annotations

from confluent_kafka import libversion


def librdkafka_version() -> str:
    """Return the version of the librdkafka in use, for example ``2.16.0``."""
    return libversion()[0]

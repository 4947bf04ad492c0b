"""The HTTP server of `streamdet serve`: where it listens, who may ask, and how much."""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr

from streamdet.config.section import Problems, Section
from streamdet.config.values import Duration, Size
from streamdet.errors import ConfigError

KEY_CHARACTERS_MIN = 16
"""A shorter key can be guessed."""


class KeyConfig(Section):
    """One key that a client may send in `Ocp-Apim-Subscription-Key`, and what it opens."""

    name: str = Field(
        min_length=1,
        max_length=64,
        pattern="^[A-Za-z0-9._-]+$",
        description="What logs call its owner; the key itself is never shown.",
    )
    key: SecretStr | None = Field(
        default=None, description="The key. In the environment only; in a file: key_file."
    )
    key_file: Path | None = Field(default=None, description="File that holds the key.")
    metrics: tuple[str, ...] = Field(
        default=("*",),
        min_length=1,
        description="Globs of the metrics that it may write and read below /v1/series.",
    )
    requests_per_second: float | None = Field(
        default=None,
        gt=0,
        le=100_000,
        description="Requests that it may send, as many at once as in a second; null: any number.",
    )

    def secret(self) -> str:
        """Return the key.

        Raises
        ------
        ConfigError
            Its file cannot be read, or it is too short or no ASCII text.
        """
        if self.key is not None:
            found = self.key.get_secret_value()
        else:
            assert self.key_file is not None, "one of the two is set"
            try:
                found = self.key_file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
                raise ConfigError(
                    f"serve.keys: {self.name}: cannot read {self.key_file}: {reason}"
                ) from None
        if len(found) < KEY_CHARACTERS_MIN or not found.isascii() or not found.isprintable():
            raise ConfigError(
                f"serve.keys: {self.name}: the key must be at least {KEY_CHARACTERS_MIN} "
                "printable ASCII characters, as from: openssl rand -hex 32"
            )
        return found

    def opens(self, metric: str) -> bool:
        """Return whether the key is for `metric`."""
        return self._pattern.fullmatch(metric) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(fnmatch.translate(glob) for glob in self.metrics))


class ServeConfig(Section):
    """The HTTP API in the words of Azure AI Anomaly Detector."""

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on; one that others reach needs keys.",
    )
    port: int = Field(default=8080, ge=0, le=65535, description="Port; 0: any free one.")
    keys: tuple[KeyConfig, ...] = Field(
        default=(),
        description="Who may ask. None: anybody on this machine, and host must be a loopback one.",
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Processes that compute univariate detection; null: one a processor.",
    )
    queue: int = Field(
        default=64,
        ge=0,
        le=10_000,
        description="Requests that may wait for a worker; the next is answered with 503.",
    )
    max_connections: int = Field(
        default=1000, ge=1, le=100_000, description="Connections; the next is answered with 503."
    )
    max_body_bytes: Size = Field(
        default=8 * 2**20,
        ge=2**10,
        le=2**30,
        description="A longer request is answered with 413.",
    )
    read_timeout: Duration = Field(
        default=timedelta(seconds=10),
        ge=timedelta(milliseconds=100),
        le=timedelta(minutes=10),
        description="Time a client may take to send the head of a request, its body (each MiB of "
        "an upload), and to take the answer.",
    )
    folder: Path | None = Field(
        default=None,
        description="Where models, results and the state of series are kept; null: until the end "
        "of the process.",
    )
    data_folder: Path | None = Field(
        default=None,
        description="Files that a multivariate dataSource may name; uploads go there. null: none.",
    )
    max_upload_bytes: Size = Field(
        default=256 * 2**20,
        ge=2**10,
        le=2**36,
        description="A longer file that is sent to /v1/data is answered with 413.",
    )
    data_topics: tuple[str, ...] = Field(
        default=(), description="Topics that a multivariate dataSource may name, as topic:NAME."
    )
    snapshot_interval: Duration = Field(
        default=timedelta(seconds=30),
        ge=timedelta(milliseconds=100),
        le=timedelta(days=1),
        description="Time between two writes of the series' state to folder.",
    )
    recent_verdicts: int = Field(
        default=288,
        ge=1,
        le=100_000,
        description="Verdicts a series that are kept to be shown; each takes 80 bytes.",
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM file of the certificate chain; null: plain HTTP."
    )
    tls_key: Path | None = Field(default=None, description="PEM file of its key.")

    def problems(self) -> Problems:
        """Yield what fields say together that cannot be."""
        if not self.keys and not _is_loopback(self.host):
            yield ("host",), "others can reach it, and there are no serve.keys; add one"
        names = [key.name for key in self.keys]
        for index, key in enumerate(self.keys):
            if key.name in names[:index]:
                yield ("keys", index, "name"), "is the name of an earlier key; each needs its own"
            if key.key is not None and key.key_file is not None:
                yield ("keys", index, "key_file"), "is set beside key; remove one of the two"
            if key.key is None and key.key_file is None:
                yield ("keys", index, "key_file"), "is needed: a file that holds the key"
        if (self.tls_certificate is None) != (self.tls_key is None):
            missing = "tls_key" if self.tls_key is None else "tls_certificate"
            yield (missing,), "must be set too: TLS needs a certificate and its key"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

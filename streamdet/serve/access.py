"""Who may ask, and how often."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Sequence
from http import HTTPStatus

from streamdet.clock import Clock
from streamdet.config import KeyConfig
from streamdet.errors import ConfigError
from streamdet.serve.operation import Refusal

HEADER = "Ocp-Apim-Subscription-Key"

_DENIED = (
    "Access denied due to {} subscription key. Make sure to provide a valid key in the header "
    f"{HEADER}."
)


class Access:
    """The configured keys.

    Raises
    ------
    ConfigError
        A key cannot be read, or two are the same.
    """

    def __init__(self, keys: Sequence[KeyConfig], clock: Clock) -> None:
        self._keys = [(_digest(key.secret()), key) for key in keys]
        digests = [digest for digest, _ in self._keys]
        for at, (digest, key) in enumerate(self._keys):
            if digest in digests[:at]:
                other = keys[digests.index(digest)].name
                raise ConfigError(f"serve.keys: {key.name} and {other} are the same key")
        self._clock = clock
        self._allowances = {key.name: Allowance(key, clock) for key in keys}

    @property
    def is_open(self) -> bool:
        """Whether anybody may ask."""
        return not self._keys

    def admit(self, sent: str | None) -> KeyConfig | None:
        """Return the key that was sent; None where anybody may ask.

        Every key is compared, in a time that does not tell how much of one was right.

        Raises
        ------
        Refusal
            401 without a key of ours; 429 where it has no requests left.
        """
        if self.is_open:
            return None
        if not sent:
            raise _denied("missing")
        found: KeyConfig | None = None
        digest = _digest(sent)
        for known, key in self._keys:
            if hmac.compare_digest(known, digest):
                found = key
        if found is None:
            raise _denied("invalid")
        self._allowances[found.name].take()
        return found


class Allowance:
    """A bucket of requests that fills by `requests_per_second`, and holds those of one second."""

    def __init__(self, key: KeyConfig, clock: Clock) -> None:
        self._rate = key.requests_per_second
        self._clock = clock
        self._most = max(1.0, self._rate or 0.0)
        self._left = self._most
        self._at_s = clock.monotonic_s()

    def take(self) -> None:
        """Take one; raises Refusal, 429, where there is none."""
        if self._rate is None:
            return
        now_s = self._clock.monotonic_s()
        self._left = min(self._most, self._left + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        if self._left < 1:
            wait_s = math.ceil((1 - self._left) / self._rate)
            raise Refusal(
                HTTPStatus.TOO_MANY_REQUESTS,
                "TooManyRequests",
                f"Rate limit is exceeded: {self._rate:g} requests a second. Try again in "
                f"{wait_s} s.",
                {"Retry-After": str(wait_s)},
            )
        self._left -= 1


def _digest(key: str) -> bytes:
    # of one length whatever is sent, so that its comparison tells nothing of the key's
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _denied(what: str) -> Refusal:
    challenge = f'AzureApiManagementKey realm="streamdet",name="{HEADER}",type="header"'
    return Refusal(
        HTTPStatus.UNAUTHORIZED, "401", _DENIED.format(what), {"WWW-Authenticate": challenge}
    )

"""What fuzzing begins with: one message of each form and feature, and what it has found so far."""

from __future__ import annotations

from tests.fuzz.parsers import BETWEEN, written
from tests.serde.bad_input import CASES

_PLAIN = [
    b'{"metric":"m","value":1}',
    b'{"metric":"m","dimensions":{"host":"a","region":"eu"},"timestamp":"2021-03-02T01:00:00Z",'
    b'"value":-10.56}',
    b'{"dimensions":{},"metric":"a b","value":1e5,"timestamp":"2021-02-28T23:59:59.12345+05:30"}',
    b'{"metric": "m", "timestamp": 1614646800000, "value": 0.1234567890123456,'
    b' "dimensions": {"a": ""}}',
    b'{"dimensions":{"a":"b"},"value":12345678901234567,"metric":"m"}',
    b'{"metric":"m","value":9.007199254740993e-15,"timestamp":0}',
    b'{"metric":"m","dimensions":{"a":"b"},"series":[{"timestamp":1614646800000,"value":1.5},'
    b'{"value":-2,"timestamp":"2021-03-02T01:01:00Z"}]}',
    b'{"series" : [ {"value":7} ] ,"metric":"m"}',
    b'{"metric":"m","series":[{"timestamp":1,"value":1e5},{"timestamp":2,"value":0.1}],'
    b'"dimensions":{"a":""}}',
    b'{"metric":"m","series":[{"timestamp":1,"value":2}],"sensitivity":80}',
    b'[{"metric":"m","timestamp":1614646800000,"value":1},'
    b'{"dimensions":{"a":"b"},"metric":"n","value":12345678901234567}]',
    b' [ {"metric":"m","value":1,"dimensions":{"a":"b"}} ] ',
]
_LONGEST_BYTES = 2_000
_FOUND: list[bytes] = []
"""Inputs that an earlier version got wrong."""


def seeds() -> list[bytes]:
    """Return the inputs."""
    bad = [case.value for case in CASES if case.value and len(case.value) < _LONGEST_BYTES]
    inputs = [written(message, choice) for message in _PLAIN for choice in range(16)]
    inputs += [written(message) for message in bad]
    inputs.append(written(BETWEEN.join(_PLAIN)))
    return inputs + _FOUND

"""Log lines: one an event, whatever the message holds."""

import io
import json
import logging
import re

import pytest

from streamdet import log

logger = logging.getLogger("streamdet.test")


@pytest.fixture
def lines():
    """Set up a format and level; return a function that returns what was written since."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()

    def begin(line_format, level="info"):
        log.setup(line_format, level, stream)
        return lambda: stream.getvalue().splitlines()

    yield begin
    root.handlers, root.level = before
    logging.getLogger("streamdet").setLevel(logging.NOTSET)


def test_a_text_line_is_time_level_message_and_fields(lines):
    written = lines("text")
    logger.info("assigned %d", 2, extra={"fields": {"partition": "a[0]", "why": "it = 1"}})
    (line,) = written()
    time, rest = line.split(" ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert rest == 'INFO    assigned 2 partition=a[0] why="it = 1"'


def test_a_json_line_is_an_object_with_the_fields(lines):
    written = lines("json")
    logger.warning("late", extra={"fields": {"count": 2, "message": "not this one"}})
    event = json.loads(written()[0])
    assert {name: event[name] for name in ("level", "message", "count", "logger")} == {
        "level": "warning",
        "message": "late",
        "count": 2,
        "logger": "streamdet.test",
    }


@pytest.mark.parametrize("line_format", ["text", "json"])
def test_a_message_cannot_write_a_second_line_or_to_the_terminal(lines, line_format):
    written = lines(line_format)
    evil = "a\n2026 ERROR forged\r\x1b[31m\x00\x9b\u2028\u202e\ud800"
    logger.info(evil, extra={"fields": {"topic": evil}})
    (line,) = written()
    assert all(character.isprintable() for character in line)
    assert "\\n2026 ERROR forged" in line


@pytest.mark.parametrize("line_format", ["text", "json"])
def test_an_exception_stays_on_the_line(lines, line_format):
    written = lines(line_format)
    try:
        raise ValueError("x")  # noqa: TRY301
    except ValueError:
        logger.exception("failed")
    (line,) = written()
    assert "Traceback" in line
    assert "ValueError: x" in line


def test_the_level_is_streamdets_and_other_libraries_only_warn(lines):
    written = lines("text", "debug")
    logger.debug("ours")
    logging.getLogger("other").info("chatter")
    logging.getLogger("other").warning("careful")
    assert [line.split(" ", 1)[1] for line in written()] == ["DEBUG   ours", "WARNING careful"]


def test_what_librdkafka_repeats_is_written_once(lines):
    written = lines("text")
    client = logging.getLogger("streamdet.kafka.client")
    for after_ms in range(3):
        client.error("localhost:9092: Connection refused (after %dms)", after_ms)
    client.error("another")
    logger.error("ours")
    logger.error("ours")
    assert len(written()) == 4

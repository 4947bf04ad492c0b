"""What fuzzing begins with, and has found, is held to on every run; the search itself is not."""

import subprocess
import sys
from pathlib import Path

from tests.fuzz.parsers import Input, written
from tests.fuzz.seeds import seeds

ROOT = Path(__file__).parents[2]


def test_the_parser_compiled_and_plain_and_the_careful_decoder_agree_on_every_seed():
    # In a process of its own: the second copy of the modules would stand in for the first.
    command = [sys.executable, "-m", "tests.fuzz", "--replay"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{len(seeds())} inputs, " in done.stdout


def test_an_input_says_its_messages_and_how_to_read_them():
    assert Input.of(written(b"a\xffb", 8)) == ([b"a", b"b"], "s", 1_614_686_400_000_000, True)
    assert Input.of(written(b"a", 6)) == ([b"a"], "us", None, False)
    assert Input.of(b"") == ([b""], "s", 1_614_686_400_000_000, False)

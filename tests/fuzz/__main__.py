"""Hold the compiled parser to the careful decoder, on inputs that new branches are found with.

``python -m tests.fuzz --minutes 15``; needs atheris (``pip install '.[fuzz]'``). What is found is
written to the folder and replayed with ``--replay FILE``; then it belongs into tests/fuzz/seeds.py.
The inputs that led to new branches stay in the folder, and the next run begins with them.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.parsers import Parsers
from tests.fuzz.seeds import seeds

_LENGTH_MAX = 600
_TIMEOUT_S = 20


def main() -> int:
    """Fuzz, or replay, with the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="of inputs")
    parser.add_argument("--replay", nargs="*", type=Path, help="files; none: the seeds")
    asked = parser.parse_args()
    if asked.replay is not None:
        return replay([file.read_bytes() for file in asked.replay] or seeds())
    return fuzz(asked.minutes, asked.folder)


def replay(inputs: list[bytes]) -> int:
    """Check `inputs` once, without atheris."""
    parsers = Parsers()
    taken = sum(parsers.check(data) for data in inputs)
    print(f"{len(inputs)} inputs, {taken} messages taken by the parser: all as the careful decoder")
    return 0


def fuzz(minutes: float, folder: Path) -> int:
    """Fuzz; ends the process, with a code that is not 0 where a difference was found."""
    import atheris

    modules = ["streamdet.kernels", "streamdet.serde"]
    parsers = Parsers(atheris.instrument_imports(include=modules))
    corpus, begun = folder / "corpus", folder / "seeds"
    for each in (corpus, begun):
        each.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds()):
        (begun / f"{number:03d}").write_bytes(data)
    options = [
        f"-max_total_time={round(60 * minutes)}",
        f"-max_len={_LENGTH_MAX}",
        f"-timeout={_TIMEOUT_S}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
        f"-dict={Path(__file__).with_name('json.dict')}",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus), str(begun)], _checking(parsers))
    atheris.Fuzz()
    return 0


def _checking(parsers: Parsers):
    began_s = said_s = time.monotonic()
    inputs = taken = 0

    def check(data: bytes) -> None:
        nonlocal inputs, taken, said_s
        inputs += 1
        taken += parsers.check(data)
        if time.monotonic() - said_s > 60:
            said_s = time.monotonic()
            print(f"{said_s - began_s:.0f} s: {inputs:,} inputs, {taken:,} messages taken")

    return check


if __name__ == "__main__":
    sys.exit(main())

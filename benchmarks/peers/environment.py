"""The libraries of the peers, installed for the measurement only, in a virtual environment.

quixstreams asks for an older confluent-kafka than ours, so it cannot be an extra beside it.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from tests.servers import cache_folder

QUIXSTREAMS = "3.28.1"


def quixstreams_python() -> Path:
    """Return the Python that has quixstreams; made at the first call, in the user's cache."""
    folder = cache_folder(
        f"quixstreams-{QUIXSTREAMS}-py{sys.version_info[0]}.{sys.version_info[1]}"
    )
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        print(f"installing quixstreams {QUIXSTREAMS} into {folder}", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        install = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([python, *install, f"quixstreams=={QUIXSTREAMS}"], check=True)
        done.touch()
    return python

"""Compiled kernels that were kept: damaged, swapped, or without a place to be kept in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A kernel for two sets of types, and the bits of what it says.
PROGRAM = """
import resource, sys
import numpy as np
if len(sys.argv) > 1:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from streamdet.kernels.table import table_hash
key = np.frombuffer(b"a series of some length", np.uint8)
seeds = np.array([[1, 2], [3, 4], [5, 6]], np.uint64)
print([hex(table_hash(seed, key, 0, len(key))) for seed in seeds[:2]])
print(hex(table_hash(seeds[2], key.copy(), 2, 9)))  # an array that may be written to
print(sum(table_hash.stats.cache_hits.values()), "from the cache")
"""


def run(cache: Path, *arguments: str) -> tuple[str, int]:
    """Return what the kernels said in a process of their own, and how many were not compiled."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=ROOT,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    *said, hits = done.stdout.splitlines()
    return "\n".join(said), int(hits.split()[0])


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> tuple[Path, str]:
    """A folder with compiled kernels, and what they say."""
    folder = tmp_path_factory.mktemp("kept")
    said, hits = run(folder)
    assert hits == 0
    assert run(folder) == (said, 2)
    return folder, said


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    for at in range(len(content) // 2, len(content), max(1, len(content) // 100)):
        content[at] ^= 4
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, empty, flip], ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_file_is_compiled_anew_and_kept_again(
    kept: tuple[Path, str], tmp_path: Path, kind: str, damage: Callable[[Path], None]
):
    folder, said = kept
    shutil.copytree(folder, tmp_path / "damaged")
    for file in (tmp_path / "damaged").rglob(f"*.{kind}"):
        damage(file)
    assert run(tmp_path / "damaged") == (said, 0)
    assert run(tmp_path / "damaged") == (said, 2)


def test_machine_code_that_was_kept_for_other_types_is_not_run(kept, tmp_path: Path):
    folder, said = kept
    shutil.copytree(folder, tmp_path / "swapped")
    first, second = sorted((tmp_path / "swapped").rglob("*.nbc"))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    assert run(tmp_path / "swapped") == (said, 0)


def test_a_folder_that_cannot_be_made_means_that_each_start_compiles(kept, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    assert run(tmp_path / "file") == run(tmp_path / "file") == (kept[1], 0)
    assert not list(ROOT.rglob("__pycache__/table.table_hash*"))  # nor does numba find a place


def test_a_full_disk_means_that_each_start_compiles(kept, tmp_path: Path):
    file_bytes_max = "1000"
    assert run(tmp_path, file_bytes_max) == (kept[1], 0)
    assert run(tmp_path, file_bytes_max) == (kept[1], 0)
    assert not list(tmp_path.rglob("*.nbc"))

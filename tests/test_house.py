"""The rules of the house that no linter knows; CONTRIBUTING.md says what they are for."""

import ast
import fnmatch
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import streamdet

ROOT = Path(__file__).parent.parent
PIPELINE_LINES = 250
MODULE_LINES = 400
FUNCTION_LINES = 70
FORBIDDEN_NAMES = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"}
# The folders that one machine happens to have, and the hosts that packages are fetched from: both
# tell where a file was made and break for everybody else. Escaped, they do not match themselves.
MACHINE_PATH = re.compile(r"(?<![\w.])/(work|root)/")
REGISTRY_HOST = re.compile(
    r"pypi\.org|pythonhosted\.org|repo1?\.maven\.|repo\.maven\.apache|registry\.npmjs|crates\.io"
    r"|proxy\.golang|deb\.debian\.org|registry-1\.docker"
)
REQUIREMENTS = ("runtime.txt", "dev.txt")


def source_files() -> list[Path]:
    """Return the tree's files, less what .gitignore's lines (plain names here) leave out."""
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()]
    ignored.append(".git")
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not matches(name, ignored)]
        found += [Path(folder, name) for name in names if not matches(name, ignored)]
    return sorted(found)


def matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def line_count(path: Path) -> int:
    return len(path.read_text().splitlines())


def length_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


def pins(name: str) -> dict[str, str]:
    """Return each requirement of a locked file, as `name==version`, and the text that follows."""
    text = (ROOT / "requirements" / name).read_text()
    logical_lines = text.replace("\\\n", " ").splitlines()
    pairs = (line.split(maxsplit=1) for line in logical_lines if line and line[0] not in "# ")
    return {pin: "".join(rest) for pin, *rest in pairs}


def test_the_pipeline_is_read_in_one_sitting():
    assert line_count(ROOT / "streamdet" / "pipeline.py") <= PIPELINE_LINES


def test_no_module_is_longer_than_400_lines():
    modules = {path: line_count(path) for path in python_files("streamdet")}
    assert {path: lines for path, lines in modules.items() if lines > MODULE_LINES} == {}


def test_no_function_is_longer_than_70_lines():
    too_long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": length_without_docstring(node)
        for path in python_files("streamdet", "tests", "benchmarks")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and length_without_docstring(node) > FUNCTION_LINES
    }
    assert too_long == {}


def test_every_file_is_named_after_what_it_holds():
    assert [path for path in source_files() if path.stem.lower() in FORBIDDEN_NAMES] == []


def test_imports_point_downwards():
    linter = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run(
        [linter, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY_HOST], ids=["paths", "registries"])
def test_no_file_tells_on_which_machine_it_was_made(pattern):
    telling = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in source_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert telling == []


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_is_pinned_and_hashed(name):
    locked = pins(name)
    assert len(locked) > len(dependencies())
    for pin, rest in locked.items():
        assert re.fullmatch(r"[a-z0-9.-]+==[\w.+!]+", pin), pin
        assert re.match(r"--hash=sha256:[0-9a-f]{64}( |$)", rest), f"{pin} has no hash"


def test_the_locked_files_agree_and_cover_every_dependency():
    runtime, dev = (set(pins(name)) for name in REQUIREMENTS)
    assert runtime <= dev
    locked = {pin.split("==")[0] for pin in runtime}
    assert {normalized(each) for each in dependencies()} <= locked


def dependencies() -> list[str]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def normalized(requirement: str) -> str:
    """Return a requirement's name, spelled as in a locked file."""
    name = re.match(r"[\w.-]+", requirement)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_version_is_told_once_and_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert streamdet.__version__ == project["version"]

"""Programs that the tests run: from the PATH, else from Debian's packages if allowed."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers import Unavailable, cache_folder

APT_TIMEOUT_S = 240


def kcat() -> Path:
    """Return the program kcat, installed where it is missing."""
    found = shutil.which("kcat")
    if found is None:
        _apt_get("install", "--yes", "--no-install-recommends", "kcat", wanted="kcat")
        found = shutil.which("kcat")
    if found is None:
        raise Unavailable("Debian's package kcat is installed, but no kcat is on the PATH.")
    return Path(found)


def prometheus() -> Path:
    """Return the program prometheus."""
    return _from_prometheus_package("prometheus")


def promtool() -> Path:
    """Return the program promtool."""
    return _from_prometheus_package("promtool")


def _from_prometheus_package(name: str) -> Path:
    found = shutil.which(name)
    if found:
        return Path(found)
    # Unpacked into the cache and not installed: the package would start a service.
    programs = cache_folder("debian") / "prometheus"
    if not programs.exists():
        with tempfile.TemporaryDirectory(dir=programs.parent) as scratch:
            _apt_get("download", "prometheus", wanted="prometheus", cwd=scratch)
            package = next(Path(scratch).glob("prometheus_*.deb"))
            subprocess.run(["dpkg", "-x", package, f"{scratch}/root"], check=True)
            try:
                Path(scratch, "root/usr/bin").rename(programs)
            except OSError:  # a run at the same time was first
                if not programs.exists():
                    raise
    return programs / name


def _apt_get(*arguments: str, wanted: str, cwd: str | None = None) -> None:
    """Run apt-get; where it fails, once more after an update of its lists."""
    privileges = _privileges(wanted)
    command = [*privileges, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]
    command += ["--option", "DPkg::Lock::Timeout=120"]  # another run may be installing
    for step in (arguments, ("update",), arguments):
        done = subprocess.run(
            [*command, *step],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=APT_TIMEOUT_S,
        )
        if step is arguments and done.returncode == 0:
            return
    said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    raise Unavailable(f"Install {wanted} and run again; apt-get could not: {said}")


def _privileges(wanted: str) -> list[str]:
    if shutil.which("apt-get"):
        if os.geteuid() == 0:
            return []
        if (
            shutil.which("sudo")
            and not subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode
        ):
            return ["sudo", "-n"]
    raise Unavailable(
        f"Install {wanted} (Debian: apt-get install {wanted}; macOS: brew install {wanted}) "
        "and run again."
    )

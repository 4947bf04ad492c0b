"""A real Prometheus that scrapes what a test serves."""

import json
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.servers import Unavailable, free_ports
from tests.servers.supervise import Supervised

READY_TIMEOUT_S = 30
# past any proxy that the environment names: everything here is on loopback
_HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Prometheus:
    """A context manager: a Prometheus that scrapes `/metrics` of the targets every second.

    Parameters
    ----------
    binary
        The program; the fixture `prometheus_binary` has it.
    targets
        Addresses, `host:port`.

    """

    def __init__(self, binary: Path, targets: Iterable[str]) -> None:
        (port,) = free_ports(1)
        self._binary = binary
        self._address = f"127.0.0.1:{port}"
        self.url = f"http://{self._address}"
        self._targets = list(targets)

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="streamdet-prometheus-"))
        # JSON is YAML
        scrape = {"job_name": "streamdet", "static_configs": [{"targets": self._targets}]}
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
        (self._folder / "prometheus.yml").write_text(json.dumps(config))
        command = [str(self._binary), "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        command.append(f"--web.listen-address={self._address}")
        log = self._folder / "prometheus.log"
        self._process = Supervised(command, self._folder, log)
        try:
            self._wait_until_ready(log)
        except BaseException:
            self._process.end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.end()

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the instant vector of a PromQL expression: dicts with `metric` and `value`."""
        answer = json.loads(self._get("/api/v1/query?" + urllib.parse.urlencode({"query": expr})))
        return answer["data"]["result"]

    def _get(self, path: str) -> bytes:
        with _HTTP.open(self.url + path, timeout=10) as response:
            return response.read()

    def _wait_until_ready(self, log: Path) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline and self._process.running():
            try:
                self._get("/-/ready")
            except OSError:  # nobody listens yet, or 503: it still loads
                time.sleep(0.05)
            else:
                return
        raise Unavailable(f"Prometheus did not get ready:\n{log.read_text()[-2000:]}")

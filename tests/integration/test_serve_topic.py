"""A multivariate model of the series of a topic, over HTTP."""

from __future__ import annotations

import json
import time

import numpy as np

from streamdet.types import OutgoingRecord
from tests.integration.topics import produce
from tests.integration.worker import Stream
from tests.serve.served import Served
from tests.service import MINUTE_MS, START_MS, point

MODELS = "/anomalydetector/v1.1/multivariate/models"


def test_a_model_is_trained_on_a_topic_that_the_operator_has_named(stream: Stream):
    stream.create_topics()
    rng = np.random.default_rng(5)
    common = np.sin(np.arange(300) / 15)
    produce(
        stream.bootstrap,
        (
            OutgoingRecord(
                stream.input,
                None,
                point(minute, float(sign * common[minute] + rng.normal(scale=0.05)), host=host),
                (),
                START_MS + minute * MINUTE_MS,
            )
            for minute in range(300)
            for host, sign in (("a", 1), ("b", -1))
        ),
    )
    settings = (
        f"kafka.bootstrap_servers={stream.bootstrap}",
        f"serve.data_topics=[{stream.input}]",
        "serve.workers=1",
    )
    with Served(*settings) as server:
        for topic, ended in ((stream.input, "READY"), (stream.anomalies, "FAILED")):
            wanted = {
                "dataSource": f"topic:{topic}",
                "startTime": "2021-01-01T00:00:00Z",
                "endTime": "2022-01-01T00:00:00Z",
                "slidingWindow": 30,
            }
            answer = server.request("POST", MODELS, json.dumps(wanted).encode())
            assert answer[0] == 201, answer
            info = trained(server, answer[1]["location"].removeprefix(server.url))
            assert info["status"] == ended, info
        assert info["errors"][0]["code"] == "FileNotExist"


def trained(server: Served, path: str) -> dict[str, object]:
    deadline_s = time.monotonic() + 60
    while True:
        info = json.loads(server.request("GET", path)[2])["modelInfo"]
        if info["status"] in ("READY", "FAILED"):
            return info
        assert time.monotonic() < deadline_s
        time.sleep(0.1)

"""Operations on a folder of its own, and systems of variables to put there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from streamdet.multivariate.operations import Operations
from streamdet.multivariate.source import Sources
from streamdet.multivariate.store import ModelStore

START = datetime(2021, 1, 1, tzinfo=UTC)


def stamp(minute: int) -> str:
    return (START + timedelta(minutes=int(minute))).strftime("%Y-%m-%dT%H:%M:%SZ")


def system(n: int, seed: int = 0, variables: int = 5) -> np.ndarray:
    """Return n rows of variables that follow two hidden ones."""
    random = np.random.default_rng(seed)
    hidden = np.zeros((n, 2))
    for t in range(1, n):
        hidden[t] = 0.9 * hidden[t - 1] + random.normal(size=2)
    loadings = np.random.default_rng(99).normal(size=(2, variables))
    return 10 + hidden @ loadings + 0.3 * random.normal(size=(n, variables))


def write_table(path: Path, value: np.ndarray, first: int = 0) -> None:
    names = [f"v{j}" for j in range(value.shape[1])]
    rows = [",".join(["timestamp", *names])]
    for t, row in enumerate(value):
        rows.append(",".join([stamp(first + t), *(repr(float(x)) for x in row)]))
    path.write_text("\n".join(rows) + "\n")


@dataclass
class Service:
    """Operations whose work waits in `queue` until `run` is called."""

    folder: Path

    def __post_init__(self):
        self.queue = []
        self.data = self.folder / "data"
        self.data.mkdir(exist_ok=True)
        self.store = ModelStore(self.folder / "store")
        self.operations = Operations(self.store, Sources(self.data), self.queue.append)

    def run(self) -> None:
        while self.queue:
            self.queue.pop(0)()

    def train(self, **fields) -> str:
        """Train on `training.csv` to the end; return the model's id."""
        record = self.operations.train(train_body(**fields))
        self.run()
        return record["modelId"]


def train_body(**fields) -> bytes:
    body = {
        "dataSource": "training.csv",
        "startTime": stamp(0),
        "endTime": stamp(1_000_000),
        "slidingWindow": 50,
    }
    return json.dumps({**body, **fields}).encode()


def last_body(value: np.ndarray, first: int = 0, **fields) -> bytes:
    times = [stamp(first + t) for t in range(len(value))]
    variables = [
        {"variable": f"v{j}", "timestamps": times, "values": [float(x) for x in value[:, j]]}
        for j in range(value.shape[1])
    ]
    return json.dumps({"variables": variables, "topContributorCount": 10, **fields}).encode()

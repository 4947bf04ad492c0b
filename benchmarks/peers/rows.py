"""streamdet beside quixstreams, and beside a plain poll-and-json loop, on one Apache Kafka."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bars import Bar, Measured, rates
from benchmarks.contender import Contender, Task
from benchmarks.load import Load
from benchmarks.peers.environment import quixstreams_python
from benchmarks.throughput import QUICK, Plan
from tests.servers.kafka import KafkaServer, create_topic

_TOPIC, _STATE, _GROUP = "points", "state", "quixstreams"
_PARTITIONS = 4
_N_SERIES = 20_000
_TICKS_LEAD_IN, _TICKS = 16, 120
_STATE_TOPIC = {"cleanup.policy": "compact", "max.message.bytes": "16777216"}


def peers(plan: Plan) -> list[Measured]:
    """Each in turn reads on in the same topic: streamdet a part, the slower ones less of it."""
    quix = Measured(Bar("quixstreams, exactly-once, times as fast", 20, 40))
    loop = Measured(Bar("a poll-and-json loop that commits nothing, times as fast"))
    found: dict[str, list[float]] = {"streamdet": [], "quixstreams": [], "plain loop": []}
    n_slow = 5_000 if plan is QUICK else 60_000
    with ExitStack() as stack:
        python = quixstreams_python()
        broker = stack.enter_context(KafkaServer())
        for topic in (_TOPIC, "anomalies", "dead-letters"):
            create_topic(broker.bootstrap, topic, _PARTITIONS)
        create_topic(broker.bootstrap, _STATE, _PARTITIONS, _STATE_TOPIC)
        load = Load(broker.bootstrap, [_TOPIC], _PARTITIONS, _N_SERIES)
        load.produce(_TICKS_LEAD_IN, spikes=False)
        ours = stack.enter_context(Contender(_task("exactly_once", broker.bootstrap)))
        plain = stack.enter_context(Contender(_task("plain", broker.bootstrap)))
        peer = _Quixstreams(stack, python, broker.bootstrap)
        ours.take(load.end)
        read = 0
        for number in range(plan.rounds):
            load.produce(_TICKS)
            read += n_slow // _PARTITIONS
            found["streamdet"].append(ours.take(load.end).rate)
            found["quixstreams"].append(peer.take(n_slow))
            found["plain loop"].append(plain.take(read).rate)
            said = ", ".join(f"{name} {each[-1]:,.0f}/s" for name, each in found.items())
            print(f"  round {number + 1}: {said}", flush=True)
    ours_rates = found["streamdet"]
    for row, name in ((quix, "quixstreams"), (loop, "plain loop")):
        row.figures = [a / b for a, b in zip(ours_rates, found[name], strict=True)]
        row.how = f"{rates('streamdet', ours_rates)} with state kept, {rates(name, found[name])}"
    quix.how += f"; on Apache Kafka {broker.version}; the peers judge by a plain z-score"
    return [quix, loop]


def _task(kind: str, bootstrap: str) -> Task:
    settings = {"commit_interval": "1s", "state": {"topic": _STATE}}
    return Task(kind, bootstrap, [_TOPIC], _PARTITIONS, settings=settings)


class _Quixstreams:
    def __init__(self, stack: ExitStack, python: Path, bootstrap: str) -> None:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        script = Path(__file__).with_name("with_quixstreams.py")
        self._process = stack.enter_context(
            subprocess.Popen(
                [python, script, bootstrap, _GROUP, _TOPIC, folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={"PATH": "", "HOME": folder},
            )
        )
        stack.callback(self._process.kill)

    def take(self, n: int) -> float:
        """Return messages a second of the next `n`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(n, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

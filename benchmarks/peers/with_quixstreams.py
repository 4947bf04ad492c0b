"""quixstreams with the detection of `zscore`, exactly-once: run by a Python that has it.

python with_quixstreams.py BOOTSTRAP GROUP TOPIC STATE_FOLDER

Each line on its input is a number of messages, whose seconds it answers with: from the first of
them on, so without joining the group and recovering its state.
"""

import sys
import time

from quixstreams import Application
from zscore import judge

_NOT_TIMED = 500
"""Messages at the beginning of a part: the group is joined, caches fill."""
_COMMIT_INTERVAL_S = 1.0


def application(bootstrap: str, group: str, topic: str, folder: str, clock: dict) -> Application:
    """Return an application that judges every point with a state a series, and times itself."""
    app = Application(
        broker_address=bootstrap,
        consumer_group=group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=_COMMIT_INTERVAL_S,
        state_dir=folder,
        loglevel="WARNING",
        consumer_extra_config={"fetch.queue.backoff.ms": 2},
    )

    def detect(point, state):  # noqa: ANN001, ANN202
        clock["n"] += 1
        if clock["n"] == _NOT_TIMED:
            clock["began"] = time.monotonic()
        new, strange = judge(state.get("z"), point["value"])
        state.set("z", new)
        if clock["n"] == clock["end"]:
            clock["ended"] = time.monotonic()
            app.stop()  # what `run(count=...)` promises, and does not do in this version
        return {**point, "expectedValue": new[1]} if strange else None

    points = app.dataframe(app.topic(topic, value_deserializer="json", key_deserializer="str"))
    events = points.apply(detect, stateful=True).filter(lambda event: event is not None)
    events.to_topic(app.topic("anomalies", value_serializer="json", key_serializer="str"))
    return app


def main(bootstrap: str, group: str, topic: str, folder: str) -> None:
    """Take one part after the other."""
    for line in sys.stdin:
        clock = {"n": 0, "end": int(line) + _NOT_TIMED, "began": 0.0, "ended": 0.0}
        application(bootstrap, group, topic, folder, clock).run()
        print(int(line) / (clock["ended"] - clock["began"]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

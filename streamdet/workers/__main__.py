"""A worker of several, as its parent starts it: ``python -m streamdet.workers NUMBER``."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
from threading import Thread

from streamdet import app
from streamdet import log as lines
from streamdet.config import Config
from streamdet.errors import ConfigError, StreamdetError

log = logging.getLogger("streamdet.workers")


def main(number: int) -> int:
    """Run worker `number` with the configuration on standard input; return the exit code."""
    config: Config = pickle.load(sys.stdin.buffer)  # noqa: S301  # our parent's
    lines.setup(config.logging.format, config.logging.level, worker=number)
    Thread(target=_end_with_parent, name="parent", daemon=True).start()
    try:
        return app.run(config)
    except StreamdetError as error:
        log.error("%s", error)  # noqa: TRY400  # the message is for the operator
        return 2 if isinstance(error, ConfigError) else 1


def _end_with_parent() -> None:
    """Wait for the end of the pipe that only the parent holds open."""
    # Not by sys.stdin: its lock, held here, would stop the interpreter from ending.
    while os.read(sys.stdin.fileno(), 1):
        pass
    log.error("the parent process is gone: ending")
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))

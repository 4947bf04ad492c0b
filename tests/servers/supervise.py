"""A server process that ends with the test run, however the run ends.

The server's parent is this file, run as a script: it holds the read end of a pipe whose write end
only the test run has. When the run ends, be it by SIGKILL, the pipe closes; the script then kills
the server and removes its folder. The ordinary end takes the same road.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

POLL_S = 0.05
END_TIMEOUT_S = 30


class Supervised:
    """A running server process.

    Parameters
    ----------
    command
        The server's program and arguments.
    folder
        Its working folder; removed by `end`, and when the test run dies.
    log
        The file that the server's output is appended to.

    """

    def __init__(self, command: list[str], folder: Path, log: Path) -> None:
        self._folder = folder
        # A session of its own, so that Ctrl-C at the terminal reaches the tests and not the server:
        # they still need it while they are torn down.
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", __file__, str(folder), str(log), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        with self._supervisor.stdout as announced:
            self.pid = int(announced.readline() or 0)
        if not self.pid:
            self.end()
            raise OSError(f"{command[0]} did not start; see the message above.")

    def running(self) -> bool:
        """Tell whether the server still runs."""
        return self._supervisor.poll() is None

    def signal(self, number: signal.Signals, timeout_s: float) -> None:
        """Send a signal that ends the server, and wait for its end; the folder stays."""
        if self.running():
            os.kill(self.pid, number)
            self._supervisor.wait(timeout_s)
        self._supervisor.stdin.close()

    def end(self) -> None:
        """Kill the server, where it still runs, and remove its folder."""
        self._supervisor.stdin.close()
        self._supervisor.wait(END_TIMEOUT_S)
        shutil.rmtree(self._folder, ignore_errors=True)  # its own end left the folder alone


def main(folder: str, log: str, *command: str) -> None:
    """Run the command until it ends, or until standard input closes."""
    with Path(log).open("ab") as output:
        server = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    print(server.pid, flush=True)
    while server.poll() is None:
        readable, _, _ = select.select([sys.stdin], [], [], POLL_S)
        if readable:
            server.kill()
            server.wait()
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

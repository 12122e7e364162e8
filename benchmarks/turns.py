"""Commands that take turns: while one runs, the others are stopped, so that other load meets all alike."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence


class Command:
    """A command that runs only while it is its turn, with the processes that it starts.

    `heard` is called with each line that it prints and the seconds of its own turns until then.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], heard: Callable[[str, float], None]
    ) -> None:
        self.seconds, self._resumed, self._heard = 0.0, time.monotonic(), heard
        self._lines: list[str] = []
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=os.environ | dict(environment),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def running(self) -> bool:
        """Whether the command has not ended."""
        return self._process.poll() is None

    def turn(self, seconds: float) -> None:
        """Let the command run for so long, or to its end."""
        self._resumed = time.monotonic()
        self._signal(signal.SIGCONT)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGSTOP)
        self.seconds += time.monotonic() - self._resumed
        if not self.running:
            self._reader.join()

    def stop(self) -> None:
        """End the command, should it still run."""
        self._signal(signal.SIGKILL)

    def last_lines(self) -> str:
        """Return what the command last said."""
        return "".join(self._lines[-15:])

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            os.killpg(self._process.pid, number)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)
            self._heard(line, self.seconds + time.monotonic() - self._resumed)

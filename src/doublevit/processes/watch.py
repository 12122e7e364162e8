"""Heartbeats: every process tells the others that it lives, and notices which of them does not.

A collective operation waits for as long as it takes the others to come, since decoding or validating may take hours.
That no process waits for one that was killed, stopped or cut off is decided here instead, by a thread of its own.
"""

import dataclasses
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from torch import distributed

INTERVAL = 2.0  # seconds between two heartbeats
MISSED = 10  # heartbeats that a process may miss
GRACE = 3.0  # seconds that the main thread has to end by itself, which leaves no temporary files
DONE = "done"
GO_ON = "the others end too. What was saved is kept: resume the run, or give the same command again"


class Beat(msgspec.Struct, frozen=True):
    """What a process says of itself: a number that grows, where it runs, and why it has ended, if it has."""

    number: int
    host: str
    kernel: str  # processes of one kernel and one namespace know one another's pids
    pid: int
    ended: str = ""


@dataclasses.dataclass
class Watch:
    """Beats for process `rank` of `world` in `store` and watches the others; calls `end` with a line if one is lost.

    Time is counted in intervals of this process, so that a pause of the whole machine, or of all processes, ends none.
    """

    store: distributed.Store
    rank: int
    world: int
    end: Callable[[str], None]
    interval: float = INTERVAL

    def __post_init__(self) -> None:
        self.line, self._ended = "", ""
        self._beat = Beat(0, socket.gethostname(), _kernel(), os.getpid())
        self._latest: dict[int, Beat] = {}
        self._missed = dict.fromkeys((rank for rank in range(self.world) if rank != self.rank), 0)
        self._idle = 0  # intervals since the last round
        self._sending = threading.Lock()  # so that no older beat comes after the last one, which says how it ended
        self._lost, self._stopped = threading.Event(), threading.Event()

    def wait_for_all(self, seconds: float) -> list[int]:
        """Beat once, wait until all processes have, and return the ranks of those that have not after some seconds."""
        self._send()
        until, missing = time.monotonic() + seconds, list(self._missed)
        while missing and time.monotonic() < until:
            missing = [rank for rank in missing if not self.store.check([str(rank)])]
            time.sleep(0.05 if missing else 0)
        return missing

    def start(self) -> None:
        """Begin to beat and to watch."""
        for work in (self._beat_on, self._count):
            threading.Thread(target=work, daemon=True, name=f"doublevit-{work.__name__}").start()

    def lost(self, seconds: float) -> str:
        """Look at all processes now, and return the line on one that is lost; "" if none is after some seconds."""
        self._round()
        self._lost.wait(seconds)
        return self.line

    def stop(self, ended: str) -> None:
        """Stop watching, and tell the others why."""
        self._stopped.set()
        self._ended = ended
        self._round(watch=False)

    def _round(self, *, watch: bool = True) -> None:
        """Make a round in another thread, and give up after three seconds: the store may not answer."""
        thread = threading.Thread(target=self._try_round, args=(watch,), daemon=True)
        thread.start()
        thread.join(3)

    def _beat_on(self) -> None:
        while not self._stopped.is_set() and self._try_round(watch=True):
            time.sleep(self.interval)

    def _try_round(self, watch: bool) -> bool:
        """Make a round, and return whether the store still answers; once it does not, `_count` ends the wait for it."""
        try:
            self._send()
            if watch:
                self._look()
        except (RuntimeError, ValueError):  # torch.distributed's errors, or half an answer
            return False
        self._idle = 0
        return True

    def _count(self) -> None:
        while not self._stopped.wait(self.interval):
            self._idle += 1
            if self._idle > MISSED:
                host = self._latest[0].host if 0 in self._latest else "its machine"
                self._give_up(f"process 0 of {self.world}, or what started it on {host}, no longer answers")

    def _send(self) -> None:
        with self._sending:
            self._beat = msgspec.structs.replace(self._beat, number=self._beat.number + 1, ended=self._ended)
            self.store.set(str(self.rank), msgspec.json.encode(self._beat).decode())

    def _look(self) -> None:
        for rank in self._missed:
            beat = self._read(rank)
            self._missed[rank] = self._missed[rank] + 1 if beat == self._latest.get(rank) else 0
            self._latest[rank] = beat
            if beat.ended != DONE and (what := self._trouble(rank, beat)):
                self._give_up(f"process {rank} of {self.world} (pid {beat.pid} on {beat.host}) {what}")

    def _read(self, rank: int) -> Beat:
        return msgspec.json.decode(self.store.get(str(rank)), type=Beat)

    def _trouble(self, rank: int, beat: Beat) -> str:
        state = _state(beat.pid) if beat.kernel == self._beat.kernel else "?"
        if beat.ended:
            return f"ended: {beat.ended}"
        if not state and not self._read(rank).ended:  # it may have said why and ended since
            return "was killed, by a signal or for lack of memory"
        if self._missed[rank] > MISSED:
            stopped = " (it is stopped, as by SIGSTOP)" if state == "T" else ""
            return f"has not answered for {MISSED * self.interval:.0f} seconds{stopped}"
        return ""

    def _give_up(self, line: str) -> None:
        if self._stopped.is_set() or self._lost.is_set():
            return
        self.line = f"{line}; {GO_ON}"
        self._lost.set()
        if not self._stopped.wait(GRACE):
            self.end(self.line)


def _kernel() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # no Linux: pids tell nothing
        return f"{socket.gethostname()} {os.getpid()}"


def _state(pid: int) -> str:
    """Return the state of a process of this machine, "T" for a stopped one; "" if it has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
    return "" if state in "ZX" else state

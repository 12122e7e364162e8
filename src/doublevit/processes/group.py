"""The group of processes that share a command: joined before any work, and left in every way out."""

import datetime
import os
import signal
import threading
from typing import NoReturn

import torch
from accelerate import PartialState
from torch import distributed

from doublevit.errors import UserError
from doublevit.processes import launch
from doublevit.processes.watch import DONE, Watch
from doublevit.progress import console

JOIN_SECONDS = 300.0  # that a process may come later than the others
# Collectives wait for who decodes or validates longest; whoever does not live is the business of `Watch`.
PATIENCE = datetime.timedelta(days=7)


def join(*, cpu: bool) -> None:
    """Join the processes that were started together, unless this is the only one or has joined already.

    Raises:
        UserError: the others cannot be reached, or do not come.
    """
    if launch.count() == 1 or distributed.is_initialized():
        return
    store, rank, world = _rendezvous()
    prefix = f"doublevit/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    watch = Watch(distributed.PrefixStore(f"{prefix}/watch", store.clone()), rank, world, _end)
    if missing := watch.wait_for_all(JOIN_SECONDS):
        raise UserError(
            f"process {', '.join(map(str, missing))} of {world} did not come within {JOIN_SECONDS / 60:.0f} minutes;"
            " give the same command on every machine, at about the same time"
        )
    watch.start()
    launch.set_group(_Group(watch))
    distributed.init_process_group(
        "gloo" if cpu else "nccl" if torch.cuda.is_available() else None,
        store=distributed.PrefixStore(f"{prefix}/group", store),
        rank=rank,
        world_size=world,
        timeout=PATIENCE,
    )


def _rendezvous() -> tuple[distributed.TCPStore, int, int]:
    try:
        timeout = datetime.timedelta(seconds=JOIN_SECONDS)
        return next(iter(distributed.rendezvous("env://", timeout=timeout)))
    except (RuntimeError, ValueError) as error:  # torch.distributed's errors are RuntimeErrors
        address = f"{os.environ.get('MASTER_ADDR', '?')}:{os.environ.get('MASTER_PORT', '?')}"
        raise UserError(
            f"cannot reach the other processes at {address} ({str(error).splitlines()[0]}); start all by torchrun or"
            " accelerate launch"
        ) from error


class _Group:
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def leave(self, failure: str = "") -> bool:
        if not failure:
            PartialState().wait_for_everyone()  # who has no more to do waits for who writes the last file
        self._watch.stop(failure or DONE)
        # Without this, a thread of the group may be destroyed while it runs, which ends the process by SIGABRT.
        closing = threading.Thread(target=distributed.destroy_process_group, daemon=True)
        closing.start()
        closing.join(3 if failure else 30)  # others may be waiting in the middle of a collective
        return not closing.is_alive()

    def lost(self, seconds: float) -> str:
        return self._watch.lost(seconds)


def _end(line: str) -> NoReturn:
    """End this process, whose main thread waits for a lost one, or computes without knowing that it is lost."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    launch.leave_word(line)
    if launch.is_first_to_end():
        console.quiet = False
        console.show_cursor(True)
        console.print(f"doublevit: {line}", markup=False, highlight=False, soft_wrap=True)
    os._exit(1)

"""A command of doublevit in several processes on the CPU: of torchrun, or forks of one that has imported torch."""

import multiprocessing
import os
import socket
import sys
import tempfile
from pathlib import Path

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
SECONDS = 200

_fork = multiprocessing.get_context("forkserver")
_fork.set_forkserver_preload(["doublevit.jobs.train", "doublevit.jobs.evaluate"])


def in_processes(count: int, arguments: list[str]) -> None:
    """Run a command in as many processes; each gets the environment that torchrun gives."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as errors:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        free.close()
        files = [Path(errors, str(rank)) for rank in range(count)]
        processes = [
            _fork.Process(target=_command, args=(rank, count, address, file, arguments))
            for rank, file in enumerate(files)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(SECONDS)
        assert [process.exitcode for process in processes] == [0] * count, [file.read_text() for file in files]


def _command(rank: int, count: int, address: dict[str, str], errors: Path, arguments: list[str]) -> None:
    number, of = str(rank), str(count)
    ranks = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": of, "LOCAL_WORLD_SIZE": of}
    os.environ.update(address | ranks | {"OMP_NUM_THREADS": "1"})
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), sys.stderr.fileno())
    import torch

    from doublevit.cli import main

    torch.set_num_threads(1)
    main(arguments)

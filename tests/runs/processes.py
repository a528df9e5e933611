"""Runs in processes of their own, started from one that has torch already and waits."""

import multiprocessing
import os
import signal
import socket
from contextlib import redirect_stdout
from pathlib import Path

PRELOAD = ["torch", "torch._dynamo", "torch.utils.tensorboard.writer", "whatwhere.runs.training"]


def stop_at(step, how):
    """A watch that is interrupted in the validation after `step` steps."""

    def watch(segment, done):
        if done == step:
            how()
        return {}

    return watch


def quietly(segment, done):
    return {}


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def start(task, *args):
    """A process that runs `task(*args)`."""
    multiprocessing.set_forkserver_preload(PRELOAD)
    process = multiprocessing.get_context("forkserver").Process(target=_alone, args=(task, *args))
    process.start()
    return process


def ended(process, *, seconds=120):
    """How a process ended: 0, 1 or minus the number of the signal that killed it."""
    process.join(seconds)
    assert process.exitcode is not None, "the process hangs"
    return process.exitcode


def _alone(task, *args):
    import torch

    torch.set_num_threads(1)
    os.setpgid(0, 0)  # a Ctrl-C meant for it does not reach the tests
    multiprocessing.set_start_method("fork", force=True)  # for its workers: no second server
    task(*args)


def as_torchrun_does(rank, world, port, folder, argv):
    """The command line in one of several processes; what it prints goes to folder/RANK.txt."""
    os.environ |= {
        "TORCHELASTIC_RUN_ID": "test",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
    }
    from whatwhere.commands import main

    with Path(folder, f"{rank}.txt").open("w") as file, redirect_stdout(file):
        code = main(argv)
    raise SystemExit(code)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]

"""Several calls at a time, each in a process; they have one terminal and end as one command does.

A process serves one call after the other, since importing the libraries takes seconds.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import Any

from tqdm import tqdm

from negas.cli import available_cores, lasting_imports, part_of_command, sentence_of

_PATIENCE = 20  # seconds in which a process that is stopped may clean up
_CONTEXT = get_context("spawn")  # a process with threads, or with CUDA, cannot be forked


@dataclass(frozen=True)
class Job:
    """A call to be made.

    Attributes:
        key: what jobs behind it name it by.
        name: what it is called in messages.
        call: a function that pickle knows; gets the argument ``log``, a function of a line.
        log: where its lines go.
        after: key of the job that it waits for, if one in front of it has that key.
    """

    key: object
    name: str
    call: Callable[..., object]
    log: Callable[[str], None]
    after: object = None

    def waits(self, front: Sequence[Job]) -> bool:
        """Whether it waits for one of these."""
        return self.after is not None and any(self.after == other.key for other in front)


def run_jobs(jobs: Sequence[Job], at_once: int) -> None:
    """Make the calls; with one at a time in this process, in their order.

    After an error no further job starts, but those under way come to their end. Whatever stops this
    process, Ctrl-C among it, stops the others as SIGTERM does.

    Args:
        jobs: the calls.
        at_once: how many at a time; they share the cores, and all GPUs.

    Raises:
        Exception: the first that a call raised.
        RuntimeError: a process ended in the middle of a call; the others are stopped.
    """
    at_once = min(at_once, len(jobs))
    if at_once <= 1:
        for job in jobs:
            job.call(log=job.log)
        return
    import torch

    threads = min(torch.get_num_threads(), max(1, available_cores() // at_once))
    lock = _Patient(_CONTEXT.RLock())
    left, workers, errors = list(jobs), [], []
    try:
        while left:
            busy = {worker.connection: worker for worker in workers if worker.job}
            under_way = [worker.job for worker in busy.values()]
            free = [job for i, job in enumerate(left) if not job.waits(left[:i])]
            ready = [] if errors else [job for job in free if job not in under_way]
            if ready and len(busy) < at_once:
                idle = [worker for worker in workers if worker.job is None]
                if not idle:
                    idle = [_Worker(lock, len(workers), threads)]
                    workers += idle
                idle[0].begin(ready[0])
                continue
            if not busy:
                break
            for connection in wait(list(busy)):
                job = busy[connection].job
                line, error = busy[connection].hear()
                if line is None:
                    left.remove(job)
                if error is not None:
                    errors.append(error)
                    if len(busy) > 1 or len(errors) > 1:  # else it is told in a moment
                        line = f"{job.name}: failed, {sentence_of(error)}"
                    if len(busy) > 1:
                        line += "; what is under way is finished first"
                if line is not None:
                    with _above_bars(lock):
                        job.log(line)
    finally:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.join()
        with _above_bars(lock):
            pass
    if errors:
        raise errors[0]


@contextmanager
def _above_bars(lock: _Patient) -> Iterator[None]:
    """A block that prints where the bars of all processes are; they draw themselves again."""
    with lock:
        if sys.stderr.isatty():
            terminal = getattr(sys.stderr, "of_terminal", sys.stderr)
            terminal.write("\r\x1b[J")
            terminal.flush()
        yield


class _Worker:
    """A process that makes one call after the other.

    Args:
        lock: of those who draw bars.
        place: of its bars, from 0.
        threads: of PyTorch.

    Attributes:
        job: what it does.
    """

    def __init__(self, lock: _Patient, place: int, threads: int) -> None:
        self.job: Job | None = None
        self.connection, theirs = _CONTEXT.Pipe()
        place = place if sys.stderr.isatty() else None
        self.process = _CONTEXT.Process(target=_work, args=(theirs, lock, place, threads))
        # Ctrl-C reaches all processes of a terminal; this one passes it on.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def begin(self, job: Job) -> None:
        """Make the call of a job."""
        self.job = job
        with suppress(BrokenPipeError):  # it has ended, which is heard
            self.connection.send(job.call)

    def hear(self) -> tuple[str | None, Exception | None]:
        """A line, or nothing at the end of the call, or the error that has ended it.

        Raises:
            RuntimeError: the process has ended.
        """
        try:
            line, error, trace = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join(_PATIENCE)
            raise RuntimeError(
                f"{self.job.name}: its process has ended (exit code {self.process.exitcode}); "
                "perhaps memory ran out: lower --jobs, and run again to go on"
            ) from None
        if line is None:
            self.job = None
        if error is not None:
            error.__cause__ = _There(trace)
        return line, error

    def stop(self) -> None:
        """Ask it to end."""
        self.process.terminate()
        self.connection.close()

    def join(self) -> None:
        """Wait for its end; after that, it is killed."""
        self.process.join(_PATIENCE)
        self.process.kill()
        self.process.join()


class _There(Exception):
    """Where in its process an error came from, for whoever looks at tracebacks."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _work(parent: Connection, lock: _Patient, place: int | None, threads: int) -> None:
    """What the process does."""
    Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when torch is imported
    tqdm.set_lock(lock)
    above = []
    if place is not None:  # a line below the cursor, where no other process draws
        above = [tqdm(file=open(os.devnull, "w")) for _ in range(place + 1)]  # noqa: SIM115
    with part_of_command(), suppress(EOFError, BrokenPipeError, ConnectionResetError):
        with lasting_imports():
            call = parent.recv()
        while True:
            error = trace = None
            try:
                call(log=lambda line: parent.send((line, None, None)))
            except Exception as raised:
                error, trace = _portable(raised), traceback.format_exc()
            parent.send((None, error, trace))
            call = parent.recv()
    del above


def _end_with_parent() -> None:
    """However the parent ends, be it killed."""
    parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)


def _portable(error: Exception) -> Exception:
    """The error, or its sentence where pickle does not know it."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(sentence_of(error))
    return error


class _Patient:
    """A lock that is waited for at most a second: its holder may have been stopped while it drew.

    Then two draw at once, which the next line of the log puts right.

    Args:
        lock: a recursive one of several processes.
    """

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def acquire(self, *args: Any, **options: Any) -> bool:
        self._lock.acquire(timeout=1)
        return True

    def release(self) -> None:
        with suppress(AssertionError):  # another has it
            self._lock.release()

    __enter__ = acquire

    def __exit__(self, *error: object) -> None:
        self.release()

"""What all commands in ``tools/`` share: configs, overrides, errors for people."""

from __future__ import annotations

from negas.interrupts import quiet_interrupt, until_reader_leaves  # first of all

# isort: split
import errno
import functools
import gc
import logging
import os
import re
import signal
import sys
import threading
import traceback
from argparse import ArgumentError, ArgumentParser
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO, TypeVar

from negas.command_line import CommandLine
from negas.compat.extras import missing_extra
from negas.files import check_folder, check_name, own_inputs, protect
from negas.options import Options, option
from negas.shipped import find_config, point_at_shipped
from negas.text import escaped, visible

T = TypeVar("T", bound=Options)

# Threads that wait for a core should not burn one: with data loading workers, or another job on the
# machine, spinning made CPU runs many times slower. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# MMEngine prefixes errors of constructors with where the class was registered.
# PyTorch puts the traceback of a data loader's process in front of the error.
_WORKER = re.compile(
    r"\ACaught \w+ in DataLoader worker process \d+\.\nOriginal Traceback.*^[\w.]+: ", re.S | re.M
)
_BUILD_PREFIX = re.compile(r"^(class `\w+` in [\w/.\\-]+: )+")
_LONGEST = 1600  # characters of an error
_INTERRUPTED, _STOPPED = 130, 143  # what shells report of a command that a signal has ended
_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space and run again",
    errno.EDQUOT: "the quota is used up: free some space and run again",
    errno.EACCES: "check who may read and write there",
    errno.EROFS: "choose another place to write to",
    errno.EMFILE: "raise the limit with `ulimit -n`",
}
_USER_ERRORS = (ValueError, KeyError, OSError, RuntimeError, ImportError, TypeError, AssertionError)


class Stopped(KeyboardInterrupt):
    """SIGTERM: whatever cleans up after Ctrl-C does so after this, too."""


def user_errors(main: Callable[[], int | None]) -> Callable[[], int]:
    """Run a command; print errors as one sentence and return 2, or 130 and 143 when stopped.

    Ctrl-C and SIGTERM end it alike: what it cleans up or keeps for one, it does for the other.
    Nothing it writes lands on a file that it reads, see :func:`negas.files.protect`. The traceback
    is shown when the environment variable ``NEGAS_DEBUG`` is set. Names from outside may hold
    control characters; whatever the command prints or logs, a terminal does not obey them.
    """
    is_process = main.__module__ == "__main__"

    @functools.wraps(main)
    def wrapped() -> int:
        with _nothing_obeyed():
            return run()

    def run() -> int:
        signals = _Signals(is_process)
        try:
            with signals, own_inputs():
                _print_any_text()
                return until_reader_leaves(main)
        except KeyboardInterrupt as error:
            return _tell_stop(signals.stop or error)
        except _USER_ERRORS as error:
            if signals.stop:  # a library has made another error of it
                return _tell_stop(signals.stop)
            if os.environ.get("NEGAS_DEBUG"):
                traceback.print_exc()
            # In one piece: the processes of a distributed run share one standard error.
            sys.stderr.write(f"error: {sentence_of(error)}\n(NEGAS_DEBUG=1 shows the traceback)\n")
            sys.stderr.flush()
            return 2

    if is_process:
        sys.excepthook = quiet_interrupt
    return wrapped


@contextmanager
def part_of_command() -> Iterator[None]:
    """A block of a process that a command has started, which prints what the command would.

    SIGTERM ends the block: all is cleaned up as in the command, and not a word said.
    """
    with _nothing_obeyed(), suppress(KeyboardInterrupt), _Signals(last=True), own_inputs():
        _print_any_text()
        yield


@contextmanager
def _nothing_obeyed() -> Iterator[None]:
    """A block whose output and log hold nothing that a terminal would obey."""
    records = logging.getLogRecordFactory()
    logging.setLogRecordFactory(_VisibleRecord)
    try:
        with redirect_stdout(_Visible(sys.stdout)), redirect_stderr(_Visible(sys.stderr)):
            yield
    finally:
        logging.setLogRecordFactory(records)


@contextmanager
def lasting_imports() -> Iterator[None]:
    """A block that imports the libraries of a command, which stay to its end.

    Python's garbage collector does not look through them again and again: MMEngine collects after
    each data set, which took 0.3 s each, and importing a second or two.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _tell_stop(stop: KeyboardInterrupt) -> int:
    terminated = isinstance(stop, Stopped)
    print("stopped (SIGTERM)" if terminated else "interrupted", file=sys.stderr)
    return _STOPPED if terminated else _INTERRUPTED


def sentence_of(error: Exception) -> str:
    """What a person is told of an error: one line, without control characters."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    text = missing_extra(error) or text
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}; {_ADVICE.get(error.errno, 'check the path')}"
        if error.filename is not None:
            text = f"{str(error.filename)!r}: {text}"
    text = _WORKER.sub("", str(text))
    message = _readable(" ".join(_BUILD_PREFIX.sub("", text).split()))
    return message or type(error).__name__


def _readable(message: str) -> str:
    """A message that can be read at a glance: of a very long one its start and its end."""
    if len(message) > _LONGEST:
        half = _LONGEST // 2
        message = f"{message[:half]} … ({len(message) - 2 * half} characters) … {message[-half:]}"
    return escaped(message)


class _Visible:
    """A text stream that shows control characters; all else is the stream's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def of_terminal(self) -> TextIO:
        """The stream itself, for colours of a text whose parts are made visible already."""
        return self._stream

    def write(self, text: str) -> int:
        return self._stream.write(visible(text, terminal=self._stream.isatty()))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _VisibleRecord(logging.LogRecord):
    """A message of a log, of which files are written, too."""

    def getMessage(self) -> str:  # noqa: N802 - logging's name
        return visible(super().getMessage())


def _print_any_text() -> None:
    """File names that are no UTF-8, and any text on a plain terminal, are printed escaped."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


class _Signals:
    """A block in which SIGTERM raises :class:`Stopped` as SIGINT raises KeyboardInterrupt.

    While the command cleans up, a second Ctrl-C ends it at once. Processes that it forks, such as
    data loading workers, leave without a word.

    Args:
        last: whether the process ends after the block.

    Attributes:
        stop: what was raised.
    """

    def __init__(self, last: bool) -> None:
        self.stop: KeyboardInterrupt | None = None
        self._last, self._owner = last, os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # Python lets no other thread handle signals
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.getsignal(number)
            if self._before[number] is not signal.SIG_IGN:  # nohup: it is not to be stopped
                signal.signal(number, self._raise)
        self._hook, sys.unraisablehook = sys.unraisablehook, self._lost

    def _raise(self, number: int, frame: object) -> None:
        if os.getpid() != self._owner:
            if number == signal.SIGTERM:
                os._exit(_STOPPED)
            return  # Ctrl-C reaches the parent, too, which ends its workers
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # schedulers send it several times
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would complain of workers that left
        self.stop = Stopped() if number == signal.SIGTERM else KeyboardInterrupt()
        raise self.stop

    def _lost(self, lost: Any) -> None:
        """Python drops what is raised where it cannot pass it on, say while it forks a worker."""
        if self.stop is None or lost.exc_value is not self.stop:
            self._hook(lost)
            return
        signal.signal(signal.SIGALRM, self._again)
        signal.setitimer(signal.ITIMER_REAL, 0.1)

    def _again(self, number: int, frame: object) -> None:
        raise self.stop

    def __exit__(self, *error: object) -> None:
        if os.getpid() != self._owner or not self._before:
            return
        sys.unraisablehook = self._hook
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            if not self._last:
                signal.signal(number, handler)
            elif number == signal.SIGINT:
                signal.signal(number, signal.SIG_DFL)  # nothing is left to be kept


def leave_room_for_workers() -> None:
    """Let torch compute on half of the cores unless the user said otherwise; before its import.

    The other half draws and loads images; more threads than cores slow small networks down.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // 2)))


def available_cores() -> int:
    """Cores that this process may use: a container or a scheduler may give it fewer than all."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def jobs_option(default: int = 1) -> Any:
    """``--jobs`` of commands that bring planned runs to their end."""
    help = "runs at a time, a process each; they share the GPUs"
    return option(default, metavar="N", help=help, ge=1, secret=True)


def parse_with_overrides(options: type[T], description: str, about: str) -> T:
    """Options of a command that also takes MMDetection's ``--cfg-options``.

    Args:
        options: with the field ``cfg_options``.
        description: of the command; its first line is shown.
        about: which configs are overridden, for ``--help``.
    """
    parser = CommandLine(description=description.splitlines()[0])
    options.add_to(parser)
    _add_overrides(parser, about)
    return options.from_args(parser.parse_args())


def _add_overrides(parser: ArgumentParser, about: str) -> None:
    from mmengine.config import DictAction

    class Overrides(DictAction):
        def __call__(self, parser, namespace, values, option_string=None) -> None:
            for text in values:
                key, equals, _ = text.partition("=")
                if not equals or not all(part.strip() for part in key.split(".")):
                    raise ArgumentError(self, f"expected KEY=VALUE, as in a.b=1, got {text!r}")
            try:
                super().__call__(parser, namespace, values, option_string)
            except AssertionError as error:  # brackets that do not close
                raise ArgumentError(self, str(error)) from error

    parser.add_argument(
        "--cfg-options", nargs="+", action=Overrides, metavar="KEY=VALUE", help=about
    )


def add_config_options(parser: ArgumentParser) -> None:
    """Add MMDetection's ``--cfg-options``, ``--launcher`` and ``--local_rank``."""
    _add_overrides(
        parser,
        "override settings of the config, e.g. train_cfg.max_epochs=5 model.use_nega=False",
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="job launcher",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)


def files_by_set(texts: Iterable[str], option: str = "--ann") -> dict[str, str]:
    """Files by set, from an option such as ``--ann SET=FILE ...``.

    Raises:
        ValueError: a text has another form, or a set comes twice.
    """
    files: dict[str, str] = {}
    for text in texts:
        name, _, file = text.partition("=")
        if not (name and file):
            raise ValueError(f"{option}: expected SET=FILE, got {text!r}")
        if name in files:
            raise ValueError(f"{option}: the set {name!r} is given twice")
        files[check_name(name, f"{option}: the set")] = file
    return files


def load_config(path: str, overrides: dict | None = None, launcher: str = "none"):
    """Read a config and apply overrides.

    Args:
        path: its file, or its name, see :mod:`negas.shipped`, where also paths in it are found that
            are not there from the working directory.
        overrides: as of ``--cfg-options``.
        launcher: of the job.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a valid config.
    """
    from mmengine.config import Config

    path = find_config(path)
    try:
        cfg = Config.fromfile(path)
    except (ImportError, AssertionError) as error:
        cause = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if not _of_packages(cause):
            raise _unreadable(path, error) from error
        raise ImportError(
            f"a package that config {path!r} asks for does not work here: {cause}; `negas "
            "doctor` names the fix"
        ) from error
    except FileNotFoundError as error:
        raise FileNotFoundError(f"config {path!r}: a base config is missing ({error})") from error
    except Exception as error:
        raise _unreadable(path, error) from error
    try:
        cfg.merge_from_dict(overrides or {})
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise ValueError(f"--cfg-options do not fit config {path!r}: {error}") from error
    if not isinstance(cfg.get("model"), dict) or "type" not in cfg.model:
        raise ValueError(f"config {path!r} has no model=dict(type=...); inherit one of configs/")
    cfg.launcher = launcher
    point_at_shipped(cfg._cfg_dict)
    protect(path)
    _protect_named_in(cfg._cfg_dict, "")
    return cfg


def _unreadable(path: str, error: Exception) -> ValueError:
    return ValueError(
        f"config {path!r} cannot be read ({type(error).__name__}: {error}); it must be a valid "
        "MMEngine config in Python, JSON or YAML"
    )


def _of_packages(error: Exception) -> bool:
    """Whether an error comes from mmcv and the like, or from our stand-ins."""
    where = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return not {"mmcv", "mmdet", "mmyolo", "compat"}.isdisjoint(where.parts)


def _protect_named_in(node: Any, root: str) -> None:
    """Protect all files that a config names, annotation files of data sets among them."""
    if isinstance(node, dict):
        root = str(node.get("data_root") or root)
    for value in node.values() if isinstance(node, dict) else node:
        if isinstance(value, str):
            protect(value, os.path.join(root, value))
        elif isinstance(value, dict | list | tuple):
            _protect_named_in(value, root)


def prepare_work_dir(cfg, work_dir: str | None) -> Path:
    """Choose and create the work directory (MMDetection's rule) and check that it can be written.

    Raises:
        OSError: if it cannot.
    """
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs") / Path(cfg.filename).stem)
    return check_folder(cfg.work_dir, "--work-dir")

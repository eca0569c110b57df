"""What all commands in ``tools/`` share: configs, overrides, errors for people."""

from __future__ import annotations

import functools
import os
import re
import sys
import traceback
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO, TypeVar

from negas.files import check_folder
from negas.options import Options
from negas.text import escaped, visible

T = TypeVar("T", bound=Options)

# Threads that wait for a core should not burn one: with data loading workers, or another job on the
# machine, spinning made CPU runs many times slower. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# MMEngine prefixes errors of constructors with where the class was registered.
_BUILD_PREFIX = re.compile(r"^(class `\w+` in [\w/.\\-]+: )+")
_LONGEST = 1600  # characters of an error
_READER_LEFT = 141  # what shells report when a closed pipe ends a command
_USER_ERRORS = (ValueError, KeyError, OSError, RuntimeError, ImportError, TypeError, AssertionError)


def user_errors(main: Callable[[], int | None]) -> Callable[[], int]:
    """Run a command; print errors as one sentence and return 2.

    The traceback is shown when the environment variable ``NEGAS_DEBUG`` is set. Names from outside
    may hold control characters; whatever the command prints, a terminal does not obey them.
    """

    @functools.wraps(main)
    def wrapped() -> int:
        with redirect_stdout(_Visible(sys.stdout)), redirect_stderr(_Visible(sys.stderr)):
            return run()

    def run() -> int:
        try:
            code = main() or 0
            return _READER_LEFT if stdout_is_closed() else code
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        except _USER_ERRORS as error:
            # Also a server may break a pipe, which is to be told.
            if isinstance(error, BrokenPipeError) and stdout_is_closed(ending="\n"):
                return _READER_LEFT
            if os.environ.get("NEGAS_DEBUG"):
                traceback.print_exc()
            text = error.args[0] if isinstance(error, KeyError) and error.args else error
            message = _readable(" ".join(_BUILD_PREFIX.sub("", str(text)).split()))
            # In one piece: the processes of a distributed run share one standard error.
            sys.stderr.write(
                f"error: {message or type(error).__name__}\n(NEGAS_DEBUG=1 shows the traceback)\n"
            )
            sys.stderr.flush()
            return 2

    return wrapped


class _Visible:
    """A text stream that shows control characters; all else is the stream's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(visible(text, terminal=self._stream.isatty()))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _readable(message: str) -> str:
    """A message that can be read at a glance: of a very long one its start and its end."""
    if len(message) > _LONGEST:
        half = _LONGEST // 2
        message = f"{message[:half]} … ({len(message) - 2 * half} characters) … {message[-half:]}"
    return escaped(message)


def stdout_is_closed(ending: str = "") -> bool:
    """Whether the reader of standard output has gone, as ``head`` does when it has seen enough.

    Writes what is buffered, and ``ending``. If the reader has gone, later output goes nowhere, and
    Python has nothing to complain about when it ends.
    """
    try:
        sys.stdout.write(ending)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def leave_room_for_workers() -> None:
    """Let torch compute on half of the cores unless the user said otherwise; before its import.

    The other half draws and loads images; more threads than cores slow small networks down.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))


def parse_with_overrides(options: type[T], description: str, about: str) -> T:
    """Options of a command that also takes MMDetection's ``--cfg-options``.

    Args:
        options: with the field ``cfg_options``.
        description: of the command; its first line is shown.
        about: which configs are overridden, for ``--help``.
    """
    from mmengine.config import DictAction

    parser = ArgumentParser(description=description.splitlines()[0])
    options.add_to(parser)
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, help=about)
    return options.from_args(parser.parse_args())


def add_config_options(parser: ArgumentParser) -> None:
    """Add MMDetection's ``--cfg-options``, ``--launcher`` and ``--local_rank``."""
    from mmengine.config import DictAction

    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        help="override settings of the config, e.g. train_cfg.max_epochs=5 model.use_nega=False",
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="job launcher",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)


def annotation_files(texts: Iterable[str]) -> dict[str, str]:
    """Annotation files by set, from the option ``--ann SET=FILE ...``.

    Raises:
        ValueError: a text has another form.
    """
    files = {}
    for text in texts:
        name, _, file = text.partition("=")
        if not (name and file):
            raise ValueError(f"--ann: expected SET=FILE, got {text!r}")
        files[name] = file
    return files


def load_config(path: str, overrides: dict | None = None, launcher: str = "none"):
    """Read a config and apply overrides.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a valid config.
    """
    from mmengine.config import Config

    if not Path(path).is_file():
        raise FileNotFoundError(f"config {path!r} does not exist; give the path of a config file")
    try:
        cfg = Config.fromfile(path)
        if overrides:
            cfg.merge_from_dict(overrides)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"config {path!r}: a base config is missing ({error})") from error
    except Exception as error:
        raise ValueError(
            f"config {path!r} cannot be read ({type(error).__name__}: {error}); it must be a valid "
            "MMEngine config in Python, JSON or YAML"
        ) from error
    if not isinstance(cfg.get("model"), dict) or "type" not in cfg.model:
        raise ValueError(f"config {path!r} has no model=dict(type=...); inherit one of configs/")
    cfg.launcher = launcher
    return cfg


def prepare_work_dir(cfg, config_path: str, work_dir: str | None) -> Path:
    """Choose and create the work directory (MMDetection's rule) and check that it can be written.

    Raises:
        OSError: if it cannot.
    """
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs") / Path(config_path).stem)
    return check_folder(cfg.work_dir, "--work-dir")

"""Guard of a resumable run: the settings it was started with, kept beside its checkpoint."""

import argparse
import hashlib
import json
from pathlib import Path

from teacher import Teacher

from negas.files import read_json, write_json


def tower_settings(args: argparse.Namespace, teacher: Teacher) -> dict:
    """Everything a text tower depends on; the teacher by its content."""
    digest = hashlib.sha1(usedforsecurity=False)
    digest.update(json.dumps(teacher.names).encode() + teacher.embeddings.numpy().tobytes())
    skipped = {"command", "out", "work_dir", "threads", "teacher", "names", "composed"}
    settings = {key: value for key, value in vars(args).items() if key not in skipped}
    return settings | {"teacher": digest.hexdigest()}


def check_same_run(work_dir: Path, settings: dict) -> None:
    """Write the settings of a new run, or compare them with those of the unfinished one.

    Raises:
        ValueError: If `work_dir` holds an unfinished run with other settings.
    """
    path = work_dir / "run.json"
    settings = json.loads(json.dumps(settings))
    if path.is_file():
        before = read_json(path, own=True)
        if before != settings:
            changed = sorted(k for k in before | settings if before.get(k) != settings.get(k))
            raise ValueError(
                f"{work_dir} holds an unfinished run with other settings ({', '.join(changed)}); "
                "remove it or choose another --work-dir."
            )
    elif any(work_dir.glob("*.pth")):
        raise ValueError(f"{work_dir} holds checkpoints of another run; choose another --work-dir.")
    write_json(path, settings)


def finish_run(work_dir: Path) -> None:
    """Remove the settings and checkpoints of a run whose result has been written."""
    (work_dir / "run.json").unlink()
    for checkpoint in work_dir.glob("*.pth"):
        checkpoint.unlink()

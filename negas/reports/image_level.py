"""Table, result file and histograms of an image-level OOD run."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import negas
from negas.compat.versions import installed
from negas.files import file_sha256, write_json, write_text
from negas.files.locks import lock_file, unlock_file
from negas.files.npz import write_npz
from negas.image_level.registry import find_method
from negas.image_level.run.options import GROUPS, ImageOodOptions
from negas.image_level.run.run import DETECTOR, ImageOodRun, kind_of
from negas.labels.leakage import leakage
from negas.text import listed
from negas.visualization.curves import plot_histogram

from .columns import BY_RULE, per_set
from .table import Row, Section, Stat, Table, to_markdown

RESULTS_FILE = "image_ood_results.json"
VIEWS = {
    "images": "whole images",
    "gt_crops": "crops of annotated objects",
    "detected_crops": "crops of detected boxes",
}
_PACKAGES = ("torch", "transformers", "numpy", "pillow", "safetensors")


def make_table(runs: Sequence[ImageOodRun]) -> Table:
    """FPR95 and AUROC of each OOD set, means of near, far and all sets.

    Args:
        runs: one per view of the same sets; their rows stand in one table.
    """
    first = runs[0]
    sections = []
    for run in runs:
        for kind in ("offline", "online", "detector"):
            rows = _rows(run, kind)
            if rows:
                view = f"{VIEWS[run.options.view]}, " if len(runs) > 1 else ""
                title = "the detector's own scores" if kind == "detector" else kind
                sections.append(Section(view + title, rows))
    columns = [
        per_set(name, key)
        for name in (*[one.name for one in first.ood_sets], *_means(first))
        for key in BY_RULE
    ]
    views = "; ".join(VIEWS[run.options.view] for run in runs)
    title = f"Image-level OOD: {views}. Bank {Path(first.options.bank).stem}"
    return Table(title, columns, sections, _notes(runs))


def method_name(method: str) -> str:
    """How tables call a method."""
    return find_method(method.removeprefix(DETECTOR)).title


def _rows(run: ImageOodRun, kind: str) -> list[Row]:
    rows = []
    for method in dict.fromkeys(row["method"] for row in run.rows if row["kind"] == kind):
        for control in ("none", "rotated"):
            values = _values(run, method, control)
            if values:
                turned = control == "rotated"
                rows.append(Row(method_name(method) + ", rotated" * turned, values, turned))
    return rows


@cache
def _leaks(neg_labels: tuple[str, ...], class_names: tuple[str, ...]) -> dict[str, Any]:
    """Seconds for a bank of 10,000, so once per set."""
    return leakage(neg_labels, class_names)


def _means(run: ImageOodRun) -> dict[str, list[str]]:
    """Title -> names of the sets that the mean is over; only means of several sets."""
    means = {
        f"{group} mean": [one.name for one in run.ood_sets if one.group == group]
        for group in GROUPS
    }
    means["mean"] = [one.name for one in run.ood_sets]
    return {title: names for title, names in means.items() if len(names) > 1}


def _values(run: ImageOodRun, method: str, control: str) -> dict[str, Stat]:
    """Numbers by column, over seeds (or rotations)."""
    by_set: dict[str, dict[str, list[float]]] = {}
    for row in run.rows:
        if (row["method"], row["control"]) == (method, control):
            place = by_set.setdefault(row["ood_set"], {key: [] for key in BY_RULE})
            for key, values in place.items():
                values.append(row[key])
    if not by_set:
        return {}
    for title, names in _means(run).items():
        by_set[title] = {
            key: np.mean([by_set[name][key] for name in names], axis=0).tolist() for key in BY_RULE
        }
    return {f"{n}/{key}": Stat.of(v) for n, found in by_set.items() for key, v in found.items()}


def _notes(runs: Sequence[ImageOodRun]) -> list[str]:
    run, options = runs[0], runs[0].options
    notes = [
        "FPR95 (lower is better) and AUROC in percent; ID is the positive class. Best of each "
        "block in bold.",
        f"Encoder {run.encoder['name']}.",
    ]
    for one in runs:
        counts = ", ".join(f"{s.name} {len(s.items)}" for s in (one.id_set, *one.ood_sets))
        line = f"Samples, {VIEWS[one.options.view]}: {counts}."
        known = {t: v for t, v in one.id_accuracy.items() if not math.isnan(v)}
        if known:
            share = ", ".join(f"{100 * v:.1f}% ({t})" for t, v in known.items())
            line += f" ID samples of one class named right among the ID labels: {share}."
        notes.append(line)
    methods = [find_method(method) for method in options.methods]
    if any(method.online for method in methods):
        seeds = ", ".join(map(str, options.seeds))
        notes.append(
            f"Online: one pass over the shuffle of ID and one OOD set, then reset; batch size "
            f"{options.batch_size}, order seeds {seeds} (mean ± standard deviation)."
        )
    if run.captions:
        titles = " and ".join(method.title for method in methods if "captions" in method.needs)
        notes.append(f"{titles}' captions: {_captioner(run.captions)}.")
    if any(row["control"] == "rotated" for one in runs for row in one.rows):
        notes.append(
            f"rotated: the bank's embeddings turned at random (same geometry, no meaning), mean "
            f"of {options.rotations} draws offline and one per seed online; a gain that survives "
            f"it is not semantic."
        )
    for one in run.ood_sets:
        if one.class_names:
            found = _leaks(run.bank.neg_labels, one.class_names)["leaks"]
            notes.append(
                f"{len(found)} of {len(run.bank)} negatives name a class of {one.name}"
                + (f" ({listed(found)})." if found else ".")
            )
    left_out = [s for one in runs for x in (one.id_set, *one.ood_sets) for s in x.left_out]
    if left_out:
        notes.append(f"{len(left_out)} unreadable images or crops were left out; see the results.")
    return notes


def _captioner(captions: dict[str, Any]) -> str:
    if captions["type"] == "names":
        return (
            f"no language model, but the nearest of {captions['num_words']} words "
            f"({captions['words']}) in the encoder's eyes"
        )
    said = f"{captions['model']}, asked {captions['asked']} times in this run"
    if captions["useless"]:
        said += f"; {captions['useless']} of {captions['answers']} answers held no words to use"
    return said


def results(run: ImageOodRun) -> dict[str, Any]:
    """What ``image_ood_results.json`` holds: rows, and all that they depend on."""
    options, scale = run.options, run.encoder["logit_scale"]
    methods = {
        method.name: {
            "title": method.title,
            "options": options.settled(method, scale).record(),
            "online": method.online,
        }
        for method in map(find_method, options.methods)
    }
    sets = {
        one.name: {
            "group": one.group,
            "num": len(one.items),
            "source": one.source,
            "left_out": one.left_out,
        }
        for one in (run.id_set, *run.ood_sets)
    }
    return {
        "kind": "image_level",
        "view": options.view,
        "options": options.record(),
        "encoder": run.encoder,
        "bank": {
            "file": options.bank,
            "size": len(run.bank),
            "id_labels": list(run.class_names),
            "labels": list(run.bank.neg_labels),
            "leakage": {
                one.name: _leaks(run.bank.neg_labels, one.class_names)
                for one in run.ood_sets
                if one.class_names
            },
        },
        "methods": methods,
        "captions": run.captions or None,
        "id_accuracy": {k: None if math.isnan(v) else v for k, v in run.id_accuracy.items()},
        "sets": sets,
        "rows": run.rows,
        "streams": run.streams,
        "versions": {"negas": negas.__version__} | {name: installed(name) for name in _PACKAGES},
    }


def write_table(table: Table, runs: Sequence[ImageOodRun]) -> Path:
    """Write ``table.md`` beside the results, or above them where there are several views."""
    out = Path(runs[0].options.out)
    path = (out.parent if len(runs) > 1 else out) / "table.md"
    write_text(path, to_markdown(table))
    return path


_FILES = {RESULTS_FILE: "partial_results.json", "scores.npz": "partial_scores.npz"}
_LOCK = ".image_ood.lock"


def begin_report(options: ImageOodOptions) -> None:
    """Before a run: see that no other one writes to its folder.

    Raises:
        BlockingIOError: one does.
    """
    lock_file(Path(options.out) / _LOCK, f"another run writes to {str(options.out)!r}")


def write_partial(run: ImageOodRun) -> None:
    """Keep what a run has so far, which a kill or a captioner that fails would lose.

    The files are ``partial_results.json`` and ``partial_scores.npz``; :func:`write_report` moves
    them up. The results of an earlier run stay as they are until this one is complete.
    """
    partial_results, partial_scores = (Path(run.options.out) / name for name in _FILES.values())
    _write_scores(run, partial_scores)
    files = {"scores.npz": file_sha256(partial_scores)}
    write_json(partial_results, results(run) | dict(files=files))


def write_report(run: ImageOodRun) -> list[Path]:
    """Write ``image_ood_results.json``, ``scores.npz`` and the histograms, for those of before.

    The results hold the SHA-256 of the scores: with another one they are of another run.

    Returns:
        The files.

    Raises:
        OSError: the folder cannot be written.
    """
    out = Path(run.options.out)
    write_partial(run)
    for old in (out / "histograms").glob("*.png"):
        old.unlink()
    paths = [out / name for name in _FILES]
    for path in reversed(paths):  # the results last
        os.replace(out / _FILES[path.name], path)
    if run.options.plots:
        first = {"online": run.options.seeds[0]}
        drawn = [key for key in run.scores if key[2] == first.get(kind_of(key[0]), 0)]
        for method, name, seed in tqdm(drawn, "histograms", delay=2, leave=False, disable=None):
            of_id, of_ood = run.scores[method, name, seed]
            file = f"{method.replace(DETECTOR, 'detector-')}-{name}.png"
            path = out / "histograms" / file
            of_id, of_ood, note = _spread(of_id, of_ood)
            plot_histogram(of_id, {name: of_ood}, method_name(method) + note, path)
            paths.append(path)
    unlock_file(out / _LOCK)
    return paths


def _spread(of_id: np.ndarray, of_ood: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Scores for a histogram: shares of a softmax pile up at 0 and 1, so their log odds."""
    both = np.concatenate([of_id, of_ood])
    if both.min() < 0 or both.max() > 1 or both.min() > 0.05 or both.max() < 0.95:
        return of_id, of_ood, ""
    of_id, of_ood = (x.clip(1e-15, 1 - 1e-15) for x in (of_id, of_ood))
    return np.log(of_id / (1 - of_id)), np.log(of_ood / (1 - of_ood)), " (log odds)"


def _write_scores(run: ImageOodRun, path: Path) -> None:
    """All scores, so that other numbers and plots need no second run."""
    arrays = {}
    for (method, name, seed), (of_id, of_ood) in run.scores.items():
        arrays[f"{method}/{name}/{seed}/id"] = of_id
        arrays[f"{method}/{name}/{seed}/ood"] = of_ood
    write_npz(path, arrays)

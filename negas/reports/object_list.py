"""A row per annotated object: what became of it under every score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from negas.evaluation.objects.object_rows import paired_rows_of, pairs_of, seen_classes, states_of
from negas.evaluation.recorded import MODEL_BANK, Recorded
from negas.evaluation.rows import NO_BANK, NO_CONTROL, NamedScore, values_at
from negas.files import write_csv
from negas.metrics.objects import KNOWN_STATES, UNKNOWN_STATES
from negas.records import ID

OBJECTS_FILE = "ood_objects.csv"


def list_objects(
    run: Recorded, rows: Sequence[dict], scores: Sequence[NamedScore]
) -> list[dict[str, object]]:
    """Objects of the ID set and all OOD sets, once for each cut of the preset ``objects``.

    Args:
        run: that was scored.
        rows: of its scoring; those of the preset ``objects`` say cut and threshold.
        scores: that the rows are of.

    Returns:
        Rows with ``run, cut, set, image_id, x1, y1, x2, y2, class, known, seen`` (of pre-training;
        ``None``: not told), then the state (:func:`negas.metrics.object_states`) by score, and
        bank where that is not the model's. Empty without rows of the preset.
    """
    by_label = {score.label: score for score in scores}
    found: dict[float, dict[str, tuple[dict, float]]] = {}
    for row in rows:
        if "objects" in row and row["control"] == NO_CONTROL:
            plain = row["bank"] in (NO_BANK, MODEL_BANK)
            title = row["score"] if plain else f"{row['score']}, bank {row['bank']}"
            at_cut = found.setdefault(row["cut"], {})
            if title not in at_cut:  # the threshold is the ID set's, so the same on all OOD sets
                where = (by_label[row["score"]], row["bank"])
                values = values_at(run, paired_rows_of(run), *where)
                at_cut[title] = values, row["threshold"]
    listed = []
    for cut, at_cut in found.items():
        for name in (ID, *run.ood_sets):
            pairs, seen = pairs_of(run, name), seen_classes(run, name)
            states = {t: states_of(run, v, name, cut, tau) for t, (v, tau) in at_cut.items()}
            objects = pairs.objects
            for i, known in enumerate(pairs.known.tolist()):
                names = KNOWN_STATES if known else UNKNOWN_STATES
                label = str(objects.names[i])
                listed.append(
                    dict(run=run.name, cut=cut, set=name, image_id=str(objects.image_ids[i]))
                    | dict(zip(("x1", "y1", "x2", "y2"), objects.bboxes[i].tolist(), strict=True))
                    | {"class": label, "known": known, "seen": seen.get(label)}
                    | {title: names[ranks[i]] for title, ranks in states.items()}
                )
    return listed


def write_objects(out: str | Path, rows: Sequence[Mapping[str, object]]) -> list[Path]:
    """Write rows of :func:`list_objects` as a table; none without rows."""
    path = Path(out) / OBJECTS_FILE
    path.unlink(missing_ok=True)  # of an earlier scoring
    if not rows:
        return []
    write_csv(path, rows)
    return [path]

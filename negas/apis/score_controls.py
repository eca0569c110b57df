"""The two controls of scores with negatives: the bank turned at random, and without leaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from negas.evaluation.results import NamedScore, mean_rows
from negas.labels.audit import leakage
from negas.labels.ood_names import used_categories
from negas.metrics.controls import rotated_bank
from negas.records import BoxRecords

from .report_table import leaks_of
from .score_dump import Dump
from .score_rows import Samples, as_read, make_row, scored, telling

DEFAULT_ROTATIONS = 5


def count_rotations(dump: Dump, banks: Sequence[str], wanted: int | None) -> int:
    """Draws of the rotated bank for a dump.

    Args:
        dump: boxes of one run.
        banks: whose negatives are scored.
        wanted: number of draws; ``None``: :data:`DEFAULT_ROTATIONS` where the dump holds
            embeddings, else none.

    Raises:
        ValueError: the dump lacks embeddings.
    """
    possible = dump.records["id"].embeddings is not None and all(b in dump.feats for b in banks)
    if wanted and not possible:
        raise ValueError(
            f"{dump.path}: the rotated bank needs embeddings of boxes and texts, which this dump "
            "lacks; leave out --rotations, or test again with model.test_cfg.keep_embeddings=True"
        )
    return (DEFAULT_ROTATIONS if possible else 0) if wanted is None else wanted


def control_rows(
    dump: Dump,
    samples: Samples,
    scores: Sequence[NamedScore],
    banks: Sequence[str],
    rotations: int,
    seed: int = 0,
    on_row: Callable[[], None] = lambda: None,
) -> list[dict]:
    """Rows of scores with negatives, as :func:`~.score_rows.score_rows` has them, as controls.

    ``rotated``: mean of draws of the bank turned by a random rotation (same geometry, no meaning),
    with standard deviations (``auroc_std`` ...) and ``draws``. ``no_leaks``: without the negatives
    that name a class of the row's OOD set; absent where there is none, or no other, or where
    neither results nor annotations tell.

    Args:
        dump: boxes of one run.
        samples: of one preset.
        scores: labelled scores; those without negatives are passed over.
        banks: names of label banks.
        rotations: draws of the rotated bank; 0: none.
        seed: of the first draw; the next ones count up, as in a test.
        on_row: called after each row of a draw.
    """
    chosen = [score for score in scores if score.needs_negatives]
    rows = []
    for bank in banks if chosen else ():
        draws = []
        for i in range(rotations):
            feats = rotated_bank(dump.feats[bank], seed + i)
            turned = dump.rescore(bank, feats, ["id", *dump.ood_sets])
            draws.append(_rows(dump, samples, chosen, turned, bank, "rotated", on_row))
        rows += mean_rows(draws)
        records = dump.with_bank(bank)
        labels = dump.bank_labels(bank) or []
        for name, words in leaking(dump, bank).items():
            keep = [i for i, label in enumerate(labels) if label not in words]
            if 0 < len(keep) < len(labels) == records["id"].neg_logits.shape[1]:
                clean = {each: records[each].select_negatives(keep) for each in ("id", name)}
                rows += _rows(dump, samples, chosen, clean, bank, "no_leaks", lambda: None)
    return rows


def leaking(dump: Dump, bank: str) -> dict[str, list[str]]:
    """The bank's negatives that name a class of an OOD set, by set, as far as it can be told."""
    about = (dump.results or {}).get("banks", {}).get(bank, {})
    if "leakage" in about:
        return {name: words for name, words in leaks_of(about).items() if name in dump.records}
    found = {}
    for name in dump.ood_sets:
        try:
            used = used_categories(dump.truth(name).dataset)
        except FileNotFoundError:
            continue
        found[name] = leakage(dump.bank_labels(bank) or [], used)["leaks"]
    return found


def _rows(
    dump: Dump,
    samples: Samples,
    scores: Sequence[NamedScore],
    records: dict[str, BoxRecords],
    bank: str,
    control: str,
    on_row: Callable[[], None],
) -> list[dict]:
    made = []
    for score in scores:
        values = scored(as_read(records, score), samples, score)
        for name in (name for name in records if name != "id"):
            row = make_row(dump, samples, name, values["id"], values[name])
            made.append(telling(score, bank, control) | row)
            on_row()
    return made

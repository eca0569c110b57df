"""What a dump is and what its run depended on, for the result file of a re-scoring."""

from __future__ import annotations

import hashlib

from negas.evaluation.provenance import MAPS, complete, describe_bank, describe_sets
from negas.metrics import coco_map, records_to_coco, voc07_ap50
from negas.records import BoxRecords

from .report_table import leaks_of
from .score_dump import OWN_BANK, Dump


def describe_dump(dump: Dump, rows: list[dict], seeds: dict[str, int]) -> dict:
    """A description with all sections of :data:`negas.evaluation.provenance.KEYS`.

    What the test did not record is ``None``; mAP is computed from the records where it is missing
    and the annotations are there (``map_from_records`` names those numbers).

    Args:
        dump: boxes of one run.
        rows: its rows.
        seeds: of the re-scoring, by use; the run's own is added.
    """
    results = dump.results or {}
    run = dict(results.get("run", {}))
    run.setdefault("class_names", dump.id_labels)
    banks = {name: dict(about) for name, about in results.get("banks", {}).items()}
    own = dump.bank_labels(OWN_BANK)
    if own and OWN_BANK not in banks:
        banks[OWN_BANK] = describe_bank(OWN_BANK, list(own), run.get("neg_labels"))
    maps = {key: value for key, value in results.get("map", {}).items() if value is not None}
    computed = _maps(dump, [name for name in MAPS if name not in maps])
    return complete(
        dict(
            name=dump.name,
            path=str(dump.path),
            id_labels=dump.id_labels,
            neg_labels=own,
            sets=_sets(dump),
            records_sha256={name: _digest(each) for name, each in dump.records.items()},
            map=maps | computed,
            map_from_records=list(computed),
            banks=banks,
            leaks={bank: leaks_of(about) for bank, about in results.get("banks", {}).items()},
            run=run,
            seeds=dict(run=run.get("seed")) | seeds,
            rows=rows,
        )
    )


def _sets(dump: Dump) -> dict[str, dict]:
    """Sets with the checksum of their annotations: of the file, or as the test recorded it."""
    described = describe_sets(dump.records, dump.annotations)
    recorded = (dump.results or {}).get("sets", {})
    for name, about in described.items():
        old = recorded.get(name, {})
        if about["ann_sha256"] is None and about["ann_file"] == old.get("ann_file"):
            about["ann_sha256"] = old.get("ann_sha256")
    return described


def _maps(dump: Dump, names: list[str]) -> dict[str, float]:
    """MAP (ID) by name from the recorded boxes, one label each; empty without annotations."""
    if not names or "id_labels" not in dump.records["id"].meta:
        return {}
    try:
        truth = dump.truth("id")
    except FileNotFoundError:
        return {}
    found = records_to_coco(dump.records["id"], truth)
    values = {}
    if {"coco_ap", "coco_ap50"} & set(names):
        result = coco_map(truth, found, dump.id_labels)
        values = dict(coco_ap=result.ap, coco_ap50=result.ap50)
    values["voc07_ap50"] = voc07_ap50(truth, found, dump.id_labels)
    return {name: values[name] for name in names}


def _digest(records: BoxRecords) -> str:
    """SHA-256 over boxes, labels and logits: equal for equal dumps, however compressed."""
    digest = hashlib.sha256()
    parts = (records.bboxes, records.labels, records.scores, records.id_logits)
    for array in (*parts, records.neg_logits):
        if array is not None:
            digest.update(array.data)
    return digest.hexdigest()

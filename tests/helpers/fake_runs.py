"""Test runs as ``tools/test.py`` leaves them, from made-up boxes: no detector, no training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from negas.evaluation.provenance import describe_sets, package_versions
from negas.evaluation.recorded import MODEL_BANK, Recorded
from negas.evaluation.rescore import score_runs
from negas.evaluation.result_files import RESULTS_FILE, TEXT_FEATS_FILE
from negas.evaluation.rows import Scoring, describe_banks, name_scores, run_rows
from negas.evaluation.score_options import ScoreOptions
from negas.files import write_json
from negas.metrics import PRESETS
from negas.records import ID, ID_VAL, BoxRecords

ID_NAMES = ["cat", "dog", "car"]
OOD_NAMES = {"near": ["zebra", "truck"], "far": ["pizza", "clock"]}
SETS = (ID_VAL, ID, "near", "far")
IMAGES, SIDE, CHANNELS = 12, 64, 8


def write_data(root: Path) -> None:
    """COCO jsons and grey images of all sets; each image has one object at (10, 12)-(30, 40)."""
    for name in SETS:
        names = OOD_NAMES.get(name, ID_NAMES)
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        images = [dict(id=i, file_name=f"{i}.png", width=SIDE, height=SIDE) for i in range(IMAGES)]
        for image in images:
            cv2.imwrite(str(folder / image["file_name"]), np.full((SIDE, SIDE, 3), 128, np.uint8))
        annotations = [
            dict(
                id=i + 1,
                image_id=i,
                category_id=i % len(names) + 1,
                bbox=[10, 12, 20, 28],
                area=560,
                iscrowd=0,
            )
            for i in range(IMAGES)
        ]
        categories = [dict(id=i + 1, name=label) for i, label in enumerate(names)]
        coco = dict(images=images, annotations=annotations, categories=categories)
        (root / f"{name}.json").write_text(json.dumps(coco))


def make_records(name: str, root: Path, rng: np.random.Generator, texts: np.ndarray, negs: int):
    """Two boxes per image: one on the object, one beside it; ID sets get larger ID logits."""
    boxes = np.tile([[10, 12, 30, 40], [36, 30, 60, 62]], (IMAGES, 1)).astype(np.float32)
    count = len(boxes)
    labels = np.repeat(np.arange(IMAGES) % len(ID_NAMES), 2)
    regions = 0.6 * rng.standard_normal((count, CHANNELS)).astype(np.float32)
    regions += (2.0 if name in (ID, ID_VAL) else 0.7) * texts[labels]
    logits = regions @ texts.T - 0.5
    embeddings = np.concatenate([regions, np.full((count, 1), -0.5, np.float32)], 1)
    meta = dict(
        set=name,
        id_labels=ID_NAMES,
        ann_file=str(root / f"{name}.json"),
        img_dir=str(root / name),
    )
    return BoxRecords(
        image_ids=np.repeat(np.arange(IMAGES), 2),
        bboxes=boxes,
        labels=logits[:, : len(ID_NAMES)].argmax(1),
        scores=1 / (1 + np.exp(-logits[:, : len(ID_NAMES)].max(1))),
        id_logits=logits[:, : len(ID_NAMES)],
        neg_logits=logits[:, len(ID_NAMES) : len(ID_NAMES) + negs],
        embeddings=embeddings,
        images=np.arange(IMAGES),
        meta=meta,
    )


def bare_results(
    sets: Iterable[str] = (ID, ID_VAL, "near"),
    cut: float = 0.3,
    banks: Mapping[str, Sequence[str]] | None = None,
    **run: object,
) -> dict:
    """As little of an ``ood_results.json`` as is a valid one; ``run`` says what was tested."""
    found = dict(value=cut, rule="f1", source="id_val")
    words = {name: list(labels) for name, labels in (banks or {}).items()}
    return dict(
        rows=[],
        banks={n: dict(size=len(w), labels=w, leakage={}) for n, w in words.items()},
        sets={name: dict(images=IMAGES, boxes=2 * IMAGES) for name in sets},
        map={},
        cuts=dict(run=found, val_f1=found),
        run=run,
        settings=dict(scores=["negs"], presets=["val_f1"], rotations=0, seed=0, min_score=0.05),
    )


def unknown_section() -> dict:
    """Unknown objects of a calibration file."""
    search = dict(
        id_weight=0.25,
        agreement_weight=12,
        id_overlap=0.5,
        nms=0.5,
        max_per_img=100,
        min_size=4,
        share=0.2,
    )
    found = dict(score_thr=0.4, words=["kite", "fork"], word_rates=[0.0, 0.1], a=0.5, b=0.1)
    found |= dict(background_per_image=0.4, on_known_share=0.05, hot_share=0.2, images=10)
    found |= dict(hot=[["shrub", 0.9]], known_objects=20, id_cut=0.3, found_on="id_val")
    found |= dict(intervals=dict(background_per_image=[0.3, 0.5], on_known_share=[0.0, 0.1]))
    vocabulary = dict(source="common", words=3, sha256="a" * 64)
    return found | dict(source="calibrated", vocabulary=vocabulary, fitted_for=search)


def fake_run(
    path: Path,
    config: str = "negas_tiny.py",
    seed: int = 0,
    prompt: bool = True,
    use_nega: bool = True,
    cut: float = 0.3,
    cut_source: str = "id_val",
    ap50: float = 0.5,
    class_names: list[str] | None = None,
    presets: Sequence[str] = ("val_f1", "matched"),
) -> Path:
    """Write a run's work dir; data go to ``<parent>/data`` once."""
    data = path.parent / "data"
    if not data.exists():
        write_data(data)
    rng = np.random.default_rng([seed, len(config)])
    texts = rng.standard_normal((len(ID_NAMES) + 4, CHANNELS)).astype(np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    k = len(ID_NAMES)
    records = {name: make_records(name, data, rng, texts, 2) for name in SETS}
    labels = {MODEL_BANK: ["zebra", "fork"], "oracle": ["pizza", "clock"]}
    feats = {MODEL_BANK: texts[k : k + 2], "oracle": texts[k + 2 :]}
    settings = dict(
        scores=["max_sigmoid", "msp", "mcm", "negs", "neglabel", "negs_product"],
        presets=list(presets),
        rotations=2,
        seed=0,
        min_score=0.05,
    )
    rule = "fixed" if cut_source == "config" else "f1"
    found = dict(value=cut, rule=rule, source=cut_source)
    results = dict(
        banks={name: dict(labels=words) for name, words in labels.items()},
        sets=describe_sets(records),
        map=dict(coco_ap=ap50 / 2, coco_ap50=ap50, coco_ap75=ap50 / 3, voc07_ap50=ap50 + 0.01),
        cuts=dict(
            run=found,
            val_f1=found,
            test_f1=dict(value=round(cut + 0.05, 4), rule="test_f1", source="id_test"),
        ),
        settings=settings,
        seeds=dict(run=seed, rotations=settings["seed"]),
        run=dict(
            config=f"configs/{config}",
            config_sha256="c" * 64,
            checkpoint="x.pth",
            checkpoint_sha256="a" * 64,
            base_sha256="b" * 64,
            nms=dict(type="nms", iou_threshold=0.7, class_agnostic=False),
            score_thr=0.001,
            max_per_img=300,
            multi_label=True,
            versions=package_versions(),
            seed=seed,
            score="negs",
            prompt=prompt,
            use_nega=use_nega,
            neg_labels="data/labels/llm.json",
            class_names=class_names or ID_NAMES,
        ),
    )
    run = Recorded.of(path, records, feats, results)
    results["banks"] = describe_banks(run, dict.fromkeys(labels))
    scoring = Scoring(name_scores(settings["scores"]), tuple(labels), settings["rotations"])
    rows = [row for name in settings["presets"] for row in run_rows(run, PRESETS[name], scoring)]
    write_json(path / RESULTS_FILE, dict(rows=rows) | results)
    for name, kept in records.items():
        kept.save(path / "records" / f"{name}.npz")
    np.savez_compressed(path / "records" / TEXT_FEATS_FILE, **feats)
    return path


def score_again(
    *folders: Path,
    annotations: dict[str, str] | None = None,
    against: Path | None = None,
    **options: object,
) -> dict:
    """What ``tools/score.py`` makes of run folders; without intervals unless asked for."""
    runs = [Recorded.load(folder, annotations) for folder in folders]
    other = None if against is None else Recorded.load(against)
    names = dict(runs=list(map(str, folders)), against=None if other is None else str(against))
    return score_runs(runs, ScoreOptions(**names | dict(bootstrap=0) | options), other, False)

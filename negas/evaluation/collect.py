"""From MMDetection's predictions to :class:`~negas.records.BoxRecords`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from negas.records import BoxRecords


def to_arrays(sample: dict, min_score: float, one_per_box: bool = True) -> dict[str, np.ndarray]:
    """Arrays of one predicted data sample.

    Args:
        sample: ``DetDataSample.to_dict()`` whose ``pred_instances`` carry ``id_logits`` (and
            ``neg_logits``, ``embeddings``, ``prior_inds`` or ``query_inds`` where there are any).
        min_score: leave out boxes of lower confidence.
        one_per_box: keep a candidate's best label only, where multi-label post-processing returned
            it several times: one box is one sample.

    Raises:
        ValueError: if the predictions carry no logits.
    """
    pred = sample["pred_instances"]
    if "id_logits" not in pred:
        raise ValueError(
            "the predictions have no id_logits; set test_cfg.keep_logits=True in the model's config"
        )
    arrays = {
        key: np.asarray(
            pred[key].float().cpu() if pred[key].is_floating_point() else pred[key].cpu()
        )
        for key in (
            *("bboxes", "labels", "scores", "id_logits", "neg_logits"),
            *("embeddings", "id_cosines", "neg_cosines"),
        )
        if key in pred
    }
    candidates = pred["prior_inds"] if "prior_inds" in pred else pred.get("query_inds")
    keep = arrays["scores"] >= min_score
    if candidates is not None:
        arrays["query_inds"] = candidates.cpu().numpy()
        if one_per_box:
            order = np.argsort(-arrays["scores"], kind="stable")
            _, first = np.unique(arrays["query_inds"][order], return_index=True)
            best = np.zeros(len(keep), bool)
            best[order[first]] = True
            # NMS is class-wise: it may drop a candidate's best label as a duplicate of another box
            # and keep a lesser label, whose confidence its logits would contradict.
            keep &= best & (arrays["labels"] == arrays["id_logits"].argmax(1))
    return {key: value[keep] for key, value in arrays.items()}


def to_records(
    parts: Sequence[dict[str, np.ndarray]], image_ids: Sequence[int | str], meta: dict
) -> BoxRecords:
    """Join :func:`to_arrays` of all images of a set."""
    counts = [len(part["scores"]) for part in parts]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    ids = np.asarray(image_ids)
    if "embeddings" in joined:
        joined["embeddings"] = joined["embeddings"].astype(np.float32)
    return BoxRecords(image_ids=np.repeat(ids, counts), images=ids, meta=meta, **joined)


def to_coco_results(sample: dict, category_ids: Sequence[int]) -> list[dict]:
    """COCO results (xywh boxes) of one data sample, all labels."""
    pred = sample["pred_instances"]
    boxes = pred["bboxes"].cpu().numpy().astype(float)
    boxes[:, 2:] -= boxes[:, :2]
    return [
        dict(
            image_id=sample["img_id"],
            category_id=int(category_ids[int(label)]),
            bbox=box.tolist(),
            score=float(score),
        )
        for box, label, score in zip(boxes, pred["labels"], pred["scores"], strict=True)
    ]

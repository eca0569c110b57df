"""Detectors that look for unknown objects: ID boxes stay, records tell the same objects."""

from pathlib import Path

import numpy as np
import pytest
import torch

import negas.register  # noqa: F401
from negas.evaluation.collect import to_arrays, to_records
from negas.evaluation.recorded import Recorded
from negas.evaluation.unknown import find_unknown
from negas.models.unknown import UnknownFinder, vocabulary_of
from negas.unknown import UnknownOptions
from tests.helpers.detector import batch, build_detector, fill_with_signal
from tests.helpers.grounding_dino import build_grounding_dino

WORDS = ("zebra", "kettle", "umbrella", "pineapple", "hammer", "candle", "ladder", "trumpet")
# thresholds that random weights reach
SETTINGS = dict(
    vocabulary=WORDS, score_thr=0.01, agreement_weight=1, nms=0.8, share=1.0, id_weight=0.25
)
SETTINGS |= dict(id_score_thr=0.9)
SETTINGS |= dict(max_per_img=1000)
DETECTORS = {
    "yolo_world": build_detector,
    "yolo_world_stock": lambda **more: build_detector(type="YOLOWorldDetector", **more),
    "grounding_dino": build_grounding_dino,
    "grounding_dino_stock": lambda **more: build_grounding_dino(
        type="GroundingDINODetector", **more
    ),
}


def predictions(name, unknown=None, keep_cells=False, **changes):
    model = DETECTORS[name](seed=2, **changes).eval()
    if name.startswith("yolo"):  # else all words are nearly as good
        fill_with_signal(model, 2, logit_scale=2.5)
    model.bbox_head.test_cfg.update(keep_logits=True, keep_cells=keep_cells)
    if unknown:
        model.finder = UnknownFinder(UnknownOptions(**unknown), model.class_names)
    inputs, samples = batch(size=192)
    with torch.no_grad():
        return model, model.predict(inputs, samples, rescale=False)


@pytest.mark.parametrize("name", DETECTORS)
def test_id_boxes_are_bit_identical_with_and_without(name):
    _, plain = predictions(name)
    _, found = predictions(name, SETTINGS, keep_cells=True)
    assert sum(len(sample.unknown_instances) for sample in found) > 0
    for before, after in zip(plain, found, strict=True):
        assert "unknown_instances" not in before
        assert set(before.pred_instances.keys()) == set(after.pred_instances.keys())
        for key, value in before.pred_instances.items():
            other = after.pred_instances[key]
            assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other


@pytest.mark.parametrize("name", DETECTORS)
def test_records_tell_the_objects_that_the_detector_found(name):
    model, found = predictions(name, SETTINGS, keep_cells=True)
    feats = model.bank_feats(WORDS).numpy()
    ids = list(range(len(found)))
    meta = dict(id_labels=list(model.class_names))
    if model.token_reduce:
        meta["token_reduce"] = model.token_reduce
    dicts = [sample.to_dict() for sample in found]
    boxes = to_records([to_arrays(each, 0.0) for each in dicts], ids, meta)
    cells = to_records([to_arrays(each, 0.0, part="unknown_cells") for each in dicts], ids, meta)
    options = UnknownOptions(**SETTINGS)
    results = dict(sets=["id"], unknown=dict(words=list(WORDS), options=options.record()))
    run = Recorded.of(Path("run"), {"id": boxes}, results=results)
    run.cells, run.word_feats = {"id": cells}, feats
    again = find_unknown(run, "id", options.id_score_thr, least=options.score_thr)
    for image, sample in enumerate(found):
        mine, here = sample.unknown_instances, again.image_ids == image
        assert set(mine.labels.tolist()) <= {-1}
        assert here.sum() == len(mine)
        # cells keep half the digits of their embeddings, so the order of nearly equal ones differs
        near = abs(again.scores[here][None] - mine.scores.numpy()[:, None]) < 2e-3
        near &= abs(again.word_scores[here][None] - mine.word_scores.numpy()[:, None]) < 2e-3
        near &= again.words[here][None] == mine.words.numpy()[:, None]
        near &= (abs(again.bboxes[here][None] - mine.bboxes.numpy()[:, None]) < 1e-3).all(-1)
        assert near.any(0).all() and near.any(1).all()


@pytest.mark.parametrize("name", DETECTORS)
def test_a_word_scores_as_a_negative_label_does(name):
    """The words meet the very embeddings that banks meet in the records."""
    model, found = predictions(name, SETTINGS, keep_cells=True)
    feats, cells = model.bank_feats(WORDS), found[0].unknown_cells
    records = to_records(
        [to_arrays(found[0].to_dict(), 0.0, part="unknown_cells")],
        [0],
        dict(token_reduce=model.token_reduce) if model.token_reduce else {},
    )
    unit = feats.numpy()
    if unit.ndim == 2:
        unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    probs = 1 / (1 + np.exp(-records.rescore(unit).neg_logits.max(1)))
    mine = found[0].unknown_instances
    same_box = (cells.bboxes[None] == mine.bboxes[:, None]).all(-1).numpy()  # at borders several
    nearest = np.where(same_box, abs(probs[None] - mine.word_scores.numpy()[:, None]), 1).min(1)
    assert len(mine) > 0 and nearest.max() < 2e-3


def test_without_a_threshold_cells_are_kept_and_nothing_is_found():
    _, found = predictions("yolo_world", dict(vocabulary=WORDS), keep_cells=True)
    assert "unknown_instances" not in found[0] and len(found[0].unknown_cells) > 0


def test_a_fifth_of_a_grid_and_all_queries_meet_words():
    yolo = build_detector(test_cfg=dict(unknown=dict(vocabulary=WORDS)))
    assert yolo.finder.options.share == 0.2
    settings = dict(max_per_img=30, unknown=dict(vocabulary=WORDS))
    assert build_grounding_dino(test_cfg=settings).finder.options.share == 1.0


def test_words_of_old_weights_are_forgotten():
    model, before = predictions("yolo_world", SETTINGS)
    inputs, samples = batch(size=192)
    with torch.no_grad():
        model.prompt.ctx.normal_(generator=torch.Generator().manual_seed(0))
        model.train()  # a training follows
        model.eval()
        after = model.predict(inputs, samples, rescale=False)
    fresh = UnknownFinder(UnknownOptions(**SETTINGS), model.class_names)
    assert model.finder.encoded(model.encode_words, inputs.device)[0][0].equal(
        fresh.encoded(model.encode_words, inputs.device)[0][0]
    )
    assert not torch.equal(
        before[0].unknown_instances.word_scores[:1], after[0].unknown_instances.word_scores[:1]
    )


@pytest.mark.parametrize("name", DETECTORS)
def test_half_precision_around_a_prediction_does_not_reach_the_words(name):
    model = DETECTORS[name](seed=2).eval()
    model.bbox_head.test_cfg.update(keep_logits=True)
    model.finder = UnknownFinder(UnknownOptions(**SETTINGS), model.class_names)
    inputs, samples = batch(size=192)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = model.predict(inputs, samples, rescale=False)
    for sample in found:
        assert sample.unknown_instances.scores.dtype == torch.float32
    weights = model.finder.encoded(model.encode_words, inputs.device)[0]
    assert (weights[0] if isinstance(weights, tuple) else weights).dtype == torch.float32


def test_a_file_that_was_edited_is_read_again(tmp_path):
    file = tmp_path / "words.txt"
    for word in ("kettle", "ladder"):
        file.write_text(f"{word}\n")
        assert vocabulary_of(UnknownOptions(vocabulary=str(file)), ("dog",)).words == (word,)


def test_id_names_and_what_names_them_are_no_words():
    options = UnknownOptions(vocabulary=("dog", "puppy", "kettle", "sofa"))
    assert vocabulary_of(options, ("dog", "couch")).words == ("kettle",)
    with pytest.raises(ValueError, match="none is left for unknown objects"):
        vocabulary_of(UnknownOptions(vocabulary=("dog",)), ("dog",))


def test_names_of_ood_classes_go_too_where_asked(tmp_path):
    file = tmp_path / "ood.txt"
    file.write_text("kettle\n")
    options = UnknownOptions(vocabulary=WORDS, without_ood=(str(file), "zebra", "St. Bernard"))
    assert vocabulary_of(options, ("dog",)).words == WORDS[2:]


def test_a_calibration_of_other_words_is_refused():
    finder = UnknownFinder(UnknownOptions(vocabulary=WORDS), ("dog",))
    finder.calibrate(("hammer", "zebra"), 0.25)
    assert finder.words == ("hammer", "zebra") and finder.options.score_thr == 0.25
    with pytest.raises(ValueError, match="'spoon' is no word of"):
        finder.calibrate(("spoon",), 0.25)

"""The threshold of a run's unknown objects: which set it comes from, hot words, refusals."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config

from negas.evaluation.ood_metric import OODMetric
from negas.evaluation.recorded import Recorded
from negas.evaluation.result_files import read_results
from negas.evaluation.unknown import find_threshold, kept_words, threshold_lines, threshold_of
from negas.records import ID_SETS, BoxRecords, check_set_names
from negas.unknown import UnknownOptions
from negas.unknown.thresholds import ThresholdOptions

WORDS = ["kite", "shrub", "fork"]
IMAGES = 10
OBJECT, BESIDE, FAR = [0, 0, 10, 10], [30, 30, 40, 40], [60, 60, 80, 80]


def logit(share):
    return float(np.log(share / (1 - share)))


def truth(annotated=True):
    """One cat in each image."""
    things = [
        dict(id=i + 1, image_id=i, category_id=1, bbox=OBJECT, area=100, iscrowd=0)
        for i in range(IMAGES)
    ]
    return dict(
        images=[dict(id=i, file_name=f"{i}.png", width=100, height=100) for i in range(IMAGES)],
        categories=[dict(id=1, name="cat"), dict(id=2, name="dog")],
        annotations=things if annotated else [],
    )


def cells(rows):
    """Rows of (image, box, score of each word); ID names score 0.01, embeddings are the logits."""
    words = np.array([[logit(s) for s in scores] for *_, scores in rows]).reshape(-1, len(WORDS))
    return BoxRecords(
        image_ids=np.array([image for image, *_ in rows], int),
        bboxes=np.array([box for _, box, _ in rows], float).reshape(-1, 4),
        labels=np.zeros(len(rows), int),
        scores=np.full(len(rows), 0.01),
        id_logits=np.full((len(rows), 2), logit(0.01)),
        embeddings=np.hstack([words, np.zeros((len(rows), 1))]),
        images=np.arange(IMAGES),
        meta=dict(id_labels=["cat", "dog"]),
    )


def boxes(scores=()):
    """ID boxes beside the objects of the first images, of these confidences."""
    count = len(scores)
    return BoxRecords(
        image_ids=np.arange(count),
        bboxes=np.tile(BESIDE, (count, 1)),
        labels=np.zeros(count, int),
        scores=np.array(scores, float),
        id_logits=np.zeros((count, 2)),
        images=np.arange(IMAGES),
        meta=dict(id_labels=["cat", "dog"]),
    )


def run_of(sets, records=None, truths=None, cut=None, **options):
    settings = UnknownOptions(vocabulary=tuple(WORDS), id_weight=0, **options).record()
    results = dict(sets={name: {} for name in sets}, unknown=dict(words=WORDS, options=settings))
    if cut is not None:
        results["cuts"] = dict(run=dict(value=cut))
    truths = {name: truth() for name in sets} if truths is None else truths
    run = Recorded.of(
        Path("a_run"), {n: boxes() for n in sets} | (records or {}), {}, results, truths
    )
    run.cells = {name: cells(rows) for name, rows in sets.items()}
    run.word_feats = np.eye(len(WORDS), dtype=np.float32)
    return run


def background(word, images, score, box=BESIDE):
    scores = [0.005] * len(WORDS)
    scores[WORDS.index(word)] = score
    return [(image, box, scores) for image in images]


def test_hot_words_go_and_the_threshold_is_that_of_the_others():
    rows = background("shrub", range(8), 0.9)  # the best word of 8 images
    rows += background("kite", [0, 1], 0.8, FAR) + background("fork", [0], 0.6, BESIDE)
    rows += background("fork", [3], 0.7, OBJECT)
    run = run_of(dict(id_val=rows))
    found = find_threshold(run, ThresholdOptions(a=0.2, b=0.1))
    assert found.words == ("kite", "fork") and found.word_rates == (0.2, 0.1)
    assert found.hot == (("shrub", 0.8),), "a share of just 20% is not hot"
    assert found.score_thr == pytest.approx((0.6 + 0.7) / 2, abs=1e-3)
    assert (found.background_per_image, found.on_known_share) == (0.2, 0.1)
    assert found.found_on == "id_val" and found.source == "calibrated"
    assert (found.images, found.known_objects) == (IMAGES, IMAGES)


def test_the_numbers_of_a_threshold():
    rows = [row for i in range(6) for row in background("kite", [i], 0.3 + 0.1 * i, FAR)]
    rows += background("fork", [8, 9], 0.55, OBJECT)
    run = run_of(dict(id_val=rows))
    found = find_threshold(run, ThresholdOptions(a=0.3, b=0.5, hot=1))
    assert found.score_thr == pytest.approx((0.5 + 0.55) / 2, abs=1e-3)
    assert (found.background_per_image, found.on_known_share) == (0.3, 0.2)
    low, high = found.intervals["background_per_image"]
    assert 0 <= low < 0.3 < high <= 0.8
    found = find_threshold(run, ThresholdOptions(a=0.6, b=0.1, hot=1))
    assert found.score_thr == pytest.approx((0.55 + 0.6) / 2, abs=1e-3), "both objects at once"
    assert (found.background_per_image, found.on_known_share) == (0.3, 0.0)
    assert find_threshold(run, ThresholdOptions(a=0.6, b=0.2, hot=1)).score_thr == 0.02


def test_every_word_counts_not_the_best_of_a_cell():
    rows = [(image, BESIDE, [0.5, 0.9, 0.005]) for image in range(8)]
    found = find_threshold(run_of(dict(id_val=rows)))
    assert [word for word, _ in found.hot] == ["kite", "shrub"] and found.words == ("fork",)


def test_the_clean_set_goes_before_the_other():
    rows = background("kite", [0], 0.8)
    run = run_of(dict(id_val=rows + background("fork", range(5), 0.9), id_val_clean=rows, id=[]))
    found = find_threshold(run)
    assert found.found_on == "id_val_clean" and not found.hot
    with pytest.raises(ValueError, match="no ID validation images, .* never comes from test imag"):
        find_threshold(run_of(dict(id=rows)))


def test_id_boxes_over_the_runs_cut_hide_what_they_lie_on():
    rows = background("kite", range(2), 0.8)
    for cut, options, stray in (
        (0.5, {}, 0.1),
        (0.35, {}, 0.0),
        (None, dict(id_score_thr=0.5), 0.1),
        (None, dict(id_score_thr=0.35), 0.0),
    ):
        run = run_of(dict(id_val=rows), dict(id_val=boxes([0.4, 0.6])), cut=cut, **options)
        found = find_threshold(run)
        assert found.background_per_image == stray
        assert found.id_cut == (cut or options["id_score_thr"])
        assert find_threshold(run, id_cut=0.7).background_per_image == 0.2


def test_a_number_in_the_config_stays_with_all_words():
    rows = background("shrub", range(8), 0.9) + background("kite", [0], 0.5, FAR)
    found = find_threshold(run_of(dict(id_val=rows), score_thr=0.6))
    assert (found.score_thr, found.source, found.words) == (0.6, "config", tuple(WORDS))
    assert found.background_per_image == 0.8 and not found.hot
    assert find_threshold(run_of(dict(id_val=rows), score_thr=0.0)).background_per_image == 0.9


def test_what_cannot_be_found_is_told_in_one_sentence():
    rows = background("kite", range(8), 0.9)
    with pytest.raises(ValueError, match="set 'id_val': no object of an ID class is annotated"):
        find_threshold(run_of(dict(id_val=rows), truths=dict(id_val=truth(False))))
    rows = [(image, BESIDE, [0.9] * 3) for image in range(8)]
    with pytest.raises(ValueError, match="every word .* more than 20% of its images"):
        find_threshold(run_of(dict(id_val=rows)))
    with pytest.raises(ValueError, match=r"a_run: no threshold .* 'id_val': at no threshold are"):
        find_threshold(run_of(dict(id_val=background("kite", [0], 0.8))), ThresholdOptions(a=0))
    run = run_of(dict(id_val=rows))
    del run.__dict__["cells"]
    with pytest.raises(FileNotFoundError, match="the test kept no cells"):
        find_threshold(run)


def test_a_written_threshold_is_read_and_a_missing_one_found_once():
    run = run_of(dict(id_val=background("shrub", range(8), 0.9)))
    found = threshold_of(run)
    assert found == find_threshold(run) and kept_words(run) == [0, 2]
    run.results["unknown"]["threshold"]["score_thr"] = 0.77
    assert threshold_of(run).score_thr == 0.77
    run.results["unknown"]["threshold"]["score_thr"] = 7
    with pytest.raises(ValueError, match=r"a_run: unknown.threshold.score_thr must lie in"):
        threshold_of(run)


def test_what_is_printed_fits_a_terminal():
    rows = background("shrub", range(8), 0.9) + background("kite", [0], 0.5, FAR)
    lines = threshold_lines(find_threshold(run_of(dict(id_val=rows))))
    text = " ".join(line.strip() for line in lines)
    assert max(map(len, lines)) <= 80
    assert "1 of 3 words are hot" in text and "the worst: shrub 80%" in text
    assert "on background 0.10 an image (0.00 to 0.30; 0.5 allowed)" in text
    assert "on 0.0% of 10 known objects" in text and "10 images of id_val" in text


def test_the_name_of_the_set_is_taken():
    for name in ID_SETS:
        with pytest.raises(ValueError, match="the name is taken"):
            check_set_names([name])


# --- in a test ------------------------------------------------------------------------------------
def made_test(tmp_path, rows, annotated=True, sets=("id_val", "id_val_clean", "id", "near")):
    """A test of made-up boxes and cells by the metric."""
    file = tmp_path / "truth.json"
    file.write_text(json.dumps(truth(annotated)))
    options = UnknownOptions(vocabulary=tuple(WORDS), id_weight=0)
    finder = SimpleNamespace(words=WORDS, options=options, encode_with=lambda of: of(WORDS))
    model = SimpleNamespace(
        class_names=["cat", "dog"],
        neg_labels=[],
        bbox_head=SimpleNamespace(test_cfg=dict(keep_logits=True, keep_cells=True)),
        text_feats=lambda: (None, None),
        bank_feats=lambda words: torch.eye(len(WORDS)),
        finder=finder,
        use_nega=False,
        score_head=dict,  # none
        **dict.fromkeys(("postprocessor", "prompt", "token_reduce", "base_sha256")),
    )
    metric = OODMetric(scores=["max_sigmoid"], cut=0.4, plots=False)
    files = {name: SimpleNamespace(ann_file=str(file), data_prefix=dict(img="")) for name in sets}
    work = SimpleNamespace(work_dir=str(tmp_path), cfg=Config(dict(model={})), seed=0)
    metric.begin_run(model, work, files)
    for name in sets:
        part = cells(rows if name == "id_val_clean" else [])
        metric.begin_set(name)
        for image in range(IMAGES):
            mine = np.flatnonzero(part.image_ids == image)
            keys = ("bboxes", "scores", "labels", "id_logits", "embeddings")
            found = {key: torch.from_numpy(getattr(part, key)[mine]) for key in keys}
            known = dict(
                bboxes=torch.tensor([OBJECT]).float(),
                scores=torch.tensor([0.8]),
                labels=torch.tensor([0]),
                id_logits=torch.tensor([[logit(0.8), -5.0]]),
            )
            metric.process({}, [dict(img_id=image, pred_instances=known, unknown_cells=found)])
        metric.evaluate(IMAGES)
    metric.summarize()
    return read_results(tmp_path)


def test_a_test_writes_its_threshold_and_reads_it_again(tmp_path):
    rows = background("shrub", range(8), 0.9) + background("kite", [0], 0.5, FAR)
    results = made_test(tmp_path, rows)
    written = results["unknown"]["threshold"]
    assert written["found_on"] == "id_val_clean" and written["words"] == ["kite", "fork"]
    run = Recorded.load(tmp_path)
    assert run.ood_sets == ["near"] and "id_val_clean" in run.sets
    assert threshold_of(run).record() == written
    del run.results["unknown"]["threshold"]
    assert threshold_of(run).record() == written, "the records tell the same"


def test_a_test_without_annotations_goes_on_without_a_threshold(tmp_path, caplog):
    results = made_test(tmp_path, [], annotated=False)
    assert results["rows"] and "threshold" not in results["unknown"]

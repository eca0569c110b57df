"""Unknown objects beside the ID boxes of the Inferencer, for both detectors."""

import dataclasses
import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO

from negas.apis import Inferencer, inferencer
from negas.apis.calibration import Calibration, default_path, identity, search_of, words_digest
from negas.apis.unknown import finds_unknown
from negas.boxes import box_iou
from negas.cli import load_config
from negas.labels.names import read_names
from negas.models.unknown import vocabulary_of
from negas.unknown import UnknownOptions
from tests.helpers.fake_runs import unknown_section
from tests.helpers.shipped_emoji import CONFIG, WEIGHTS, copy_weights, draw_scenes
from tests.helpers.yolo_world import ROOT

DINO = "configs/negas/stock_grounding-dino-tiny_emoji-world.py"
DINO_WEIGHTS = ROOT / "data/emoji_world/grounding_dino_tiny.safetensors"
WORDS = ("harpsichord", "tent", "latte", "apricot", "air conditioner", "stew", "cabbage")
FIELDS = dict(vocabulary=WORDS, score_thr=0.2)


pytestmark = pytest.mark.usefixtures("in_root")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return draw_scenes(tmp_path_factory.mktemp("scenes"), 6) / "id_val"


def build(config=CONFIG, weights=WEIGHTS, **more):
    return Inferencer(config, weights, "cpu", show_progress=False, **more)


@pytest.fixture(scope="module")
def seeker():
    return build(unknown=dict(vocabulary="common", score_thr=0.2))


def section(words, finder):
    """The part of a calibration that is about unknown objects."""
    own = dict(words=list(words), word_rates=[0.0] * len(words), hot=[], score_thr=0.1)
    common = vocabulary_of(UnknownOptions(vocabulary="common"), finder_names()).words
    own |= dict(vocabulary=dict(source="common", words=3, sha256=words_digest(common)))
    return unknown_section() | own | dict(fitted_for=search_of(finder))


def finder_names():
    return read_names(load_config(CONFIG).model.class_names, "class_names")


def test_a_config_without_test_cfg_finds_them(images):
    cfg = load_config(CONFIG, {"model.test_cfg": None})
    result = build(cfg, unknown=FIELDS)(str(images), no_save_vis=True)
    assert any(-1 in found.labels for found in result["predictions"])


@pytest.fixture(scope="module")
def calibration(seeker):
    """One by which about every second ID box is unknown, as is what is like one of some words."""
    return Calibration(
        cut=0.25,
        tau=0.5,
        wanted_tpr=0.5,
        reached_tpr=0.5,
        counts=dict(images=6, detections=9),
        fitted_for=identity(seeker.model, WEIGHTS),
        source={},
        unknown=section(WORDS, seeker.model.finder),
    )


@pytest.fixture
def nothing_is_loaded(monkeypatch):
    """Errors come before the detector is built."""

    def fail(*args, **kwargs):
        raise AssertionError("the detector is being built")

    monkeypatch.setattr(inferencer.DetInferencer, "__init__", fail)


def parts(found):
    """Rows of ID boxes and of unknown objects."""
    return np.flatnonzero(found.labels >= 0), np.flatnonzero(found.labels == -1)


@pytest.mark.parametrize(("config", "weights"), [(CONFIG, WEIGHTS), (DINO, DINO_WEIGHTS)])
def test_unknown_objects_follow_boxes_that_stay_as_they_are(config, weights, images):
    cfg = load_config(config)
    cfg.model.postprocessor.tau = 0.5
    plain = build(cfg, weights)(str(images))["predictions"]
    judge = build(cfg, weights, unknown=dict(vocabulary="common", score_thr=0.3))
    words, count = judge.model.finder.words, 0
    samples = judge(str(images), return_datasamples=True)["predictions"]
    found = judge(str(images))["predictions"]
    for one, other, sample in zip(plain, found, samples, strict=True):
        json.dumps(other.record(), allow_nan=False)
        boxes, objects = parts(other)
        assert [*boxes, *objects] == list(range(len(other)))
        before, after = one.record(), other[boxes].record()
        assert before == after and len(one) == len(boxes)
        negatives = judge.model.neg_labels
        assert {*one.unknown_like.tolist()} <= {*negatives}
        for row in other[objects]:
            assert row.name == "unknown" and row.known is False and row.label == -1
            assert row.unknown_like in words and row.id_score is None and row.confidence >= 0.3
        assert all(a >= b for a, b in pairwise(other.confidence[objects]))
        mine = sample.unknown_instances
        assert (other.unknown_like_score[objects] == mine.word_scores.numpy()).all()
        assert (other.confidence[objects] == mine.scores.numpy()).all()
        hidden = box_iou(
            torch.from_numpy(other.boxes[objects]), torch.from_numpy(other.boxes[boxes])
        )
        assert not hidden.numel() or hidden.max() < 0.5
        count += len(objects)
    assert count > 3 and any(map(len, plain))


def test_boxes_that_are_not_shown_hide_nothing(seeker, images):
    def objects(thr):
        found = seeker(str(images), pred_score_thr=thr)["predictions"]
        return sum((one.labels == -1).sum() for one in found)

    usual = objects(None)
    assert seeker.model.finder.options.id_score_thr == float(np.float32(0.3))
    assert objects(1.0) > usual > objects(0.01)


def test_a_cut_of_hiding_boxes_that_was_asked_for_stays(images):
    own = build(unknown=FIELDS | dict(id_score_thr=0.6))
    own(str(images), pred_score_thr=0.1)
    assert own.model.finder.options.id_score_thr == 0.6


def test_a_calibration_brings_words_and_threshold(calibration, images, tmp_path):
    weights = copy_weights(tmp_path)
    calibration.save(default_path(weights))
    judge = build(weights=weights)
    finder = judge.model.finder
    assert finder.words == WORDS and finder.options.score_thr == 0.1
    found = judge(str(images))["predictions"]
    assert {row.unknown_like for one in found for row in one if row.label == -1} <= set(WORDS)
    assert finder.options.id_score_thr == calibration.cut
    assert any(-1 in one.labels for one in found)
    off = build(weights=weights, unknown=False)
    assert off.model.finder is None
    assert all(-1 not in one.labels for one in off(str(images))["predictions"])
    lower = build(weights=weights, unknown=dict(score_thr=0.05)).model.finder
    assert lower.words == WORDS and lower.options.score_thr == 0.05
    more = (*WORDS, "kettle")
    many = build(weights=weights, unknown=dict(vocabulary=more, score_thr=0.3)).model.finder
    assert many.words == more and many.options.score_thr == 0.3
    wide = build(weights=weights, unknown="common").model.finder
    assert wide.words == WORDS and wide.options.score_thr == 0.1
    with pytest.raises(ValueError, match="a threshold for other words: the vocabulary has more"):
        build(weights=weights, unknown=list(more))


def test_a_calibration_of_other_labels_brings_none(calibration, tmp_path):
    weights = copy_weights(tmp_path)
    calibration.save(default_path(weights))
    for labels in (dict(classes=["tent", "dog"], negatives=[]), dict(negatives=["fox"])):
        chosen = build(weights=weights, **labels)
        assert chosen.calibration is None and not finds_unknown(chosen.model)
        with pytest.raises(ValueError, match="no calibration of these labels and weights has one"):
            build(weights=weights, unknown=True, **labels)
    own = build(weights=weights, classes=["tent", "dog"], negatives=[], unknown=FIELDS)
    assert own.model.finder.words == tuple(word for word in WORDS if word != "tent")


def test_a_calibration_without_the_section_brings_none(calibration, nothing_is_loaded):
    bare = dataclasses.replace(calibration, unknown=None)
    with pytest.raises(ValueError, match="need a threshold, .*--unknown-thr"):
        build(calibration=bare, unknown=True)


@pytest.mark.parametrize(
    ("words", "vocabulary"), [([*WORDS, "horse"], None), (WORDS, ["tent", "kettle"])]
)
def test_a_calibration_of_other_words_is_refused(
    seeker, calibration, words, vocabulary, nothing_is_loaded
):
    other = dataclasses.replace(calibration, unknown=section(words, seeker.model.finder))
    wanted = dict(vocabulary=vocabulary) if vocabulary else True
    first = "horse" if vocabulary is None else "harpsichord"
    with pytest.raises(ValueError, match=f"the calibration has .* other words: '{first}' is none"):
        build(calibration=other, unknown=wanted)


def config_with(**unknown):
    cfg = load_config(CONFIG)
    cfg.model.test_cfg.unknown = unknown
    return cfg


def test_what_only_the_config_asks_for_needs_a_threshold(images, calibration):
    with pytest.MonkeyPatch.context() as patch:
        said = []
        patch.setattr("negas.apis.unknown.print_log", lambda text, _: said.append(text))
        asked = build(config_with(vocabulary=WORDS))
        assert len(said) == 1 and "no calibration says from which score on" in said[0]
        found = asked(str(images))["predictions"]
        assert all(-1 not in one.labels for one in found)
        sure = build(config_with(**FIELDS))
        assert any(-1 in one.labels for one in sure(str(images))["predictions"])
        assert build(config_with(**FIELDS), unknown=False).model.finder is None
        fitted = build(config_with(vocabulary=WORDS), calibration=calibration).model.finder
        assert fitted.options.score_thr == 0.1
        assert len(said) == 1


def test_fields_are_in_place_of_the_configs(nothing_is_loaded, tmp_path):
    cfg = config_with(**FIELDS, nms=0.3)
    file = tmp_path / "words.txt"
    file.write_text("kettle\n")
    for given, thr, words in (
        (True, 0.2, WORDS),
        (dict(score_thr=0.4), 0.4, WORDS),
        (dict(vocabulary=["kettle"], score_thr=0.4), 0.4, ("kettle",)),
        (dict(vocabulary=file, score_thr=0.4), 0.4, str(file)),
    ):
        model = cfg.copy().model
        inferencer.UnknownSearch(given, model, ["dog"], None, "")
        options = UnknownOptions.from_settings(model.test_cfg.unknown, "here")
        assert (options.score_thr, options.vocabulary, options.nms) == (thr, words, 0.3)
    with pytest.raises(ValueError, match="need a threshold"):  # the config's is of other words
        build(cfg, unknown=dict(vocabulary=["kettle"]))


@pytest.mark.parametrize(
    ("unknown", "message"),
    [
        (3, "unknown must be true, false, a vocabulary, or an object of its options, got 3"),
        (dict(score_thr=1.0), r"unknown.score_thr must lie in \[0, 1\)"),
        (dict(score_thr="high"), "unknown.score_thr must be a number"),
        (dict(score_thr=0.2, vocabulry="common"), "did you mean 'vocabulary'"),
        (dict(score_thr=0.2, vocabulary=[]), "unknown.vocabulary is empty"),
        (dict(score_thr=0.2, vocabulary=["dogs", "horse"]), "every word .* names an ID class"),
        (["tent", "kettle"], "unknown objects need a threshold"),
        (["horse"], "the words given: every word .* names an ID class"),
        ("nowhere.txt", "nowhere.txt: no such vocabulary"),
        ("data/labels/vocabulary.NOTICE.txt.png", "no such vocabulary"),
        ("common", "unknown objects need a threshold"),
        (True, "unknown objects need a threshold"),
    ],
)
def test_mistakes_are_told_before_weights_are_loaded(unknown, message, nothing_is_loaded):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        build(unknown=unknown)


def test_an_id_class_is_not_called_as_unknown_objects_are(nothing_is_loaded):
    with pytest.raises(ValueError, match="the ID class 'Unknown' is called as unknown objects are"):
        build(classes=["dog", "Unknown"], negatives=[], unknown=FIELDS)


def test_results_are_coco_json_with_a_category_of_their_own(seeker, images, tmp_path):
    found = seeker(str(images), out_dir=tmp_path, no_save_vis=True)["predictions"]
    data = json.loads((tmp_path / "predictions.json").read_text())
    coco = COCO(tmp_path / "predictions.json")
    assert len(coco.cats) == 20 and coco.cats[20]["name"] == "unknown"
    assert data["info"]["unknown"]["score_thr"] == 0.2
    about = data["info"]["unknown"]["vocabulary"]
    assert about["words"] == len(seeker.model.finder.words) and len(about["words_sha256"]) == 64
    for image, one in zip(data["images"], found, strict=True):
        rows = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        assert [row["label"] for row in rows] == one.names.tolist()
        assert [row["category_id"] for row in rows] == [
            20 if label == -1 else label + 1 for label in one.labels.tolist()
        ]
        for key in ("unknown_like", "unknown_like_score"):
            assert [row[key] for row in rows] == one.record()[key]


def test_data_samples_keep_boxes_and_objects_apart(seeker, images):
    plain = seeker(str(images))["predictions"]
    samples = seeker(str(images), return_datasamples=True)["predictions"]
    for one, sample in zip(plain, samples, strict=True):
        boxes, objects = parts(one)
        assert (sample.pred_instances.labels.numpy() == one.labels[boxes]).all()
        found = sample.unknown_instances
        assert (found.bboxes.numpy() == one.boxes[objects]).all()
        assert found.unknown_like == one.unknown_like[objects].tolist()
        assert [seeker.model.finder.words[i] for i in found.words.tolist()] == found.unknown_like


@pytest.mark.parametrize("change", [dict(score_thr=0.4), dict(vocabulary=WORDS[1:]), None])
def test_a_run_is_not_gone_on_with_by_other_words(images, tmp_path, monkeypatch, change):
    first = build(unknown=FIELDS)
    whole, calls = first.model.test_step, []

    def failing(data):
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return whole(data)

    monkeypatch.setattr(first.model, "test_step", failing)
    with pytest.raises(KeyboardInterrupt):
        first(str(images), out_dir=tmp_path, no_save_vis=True)
    monkeypatch.undo()
    other = build(unknown=FIELDS | change if change else False)
    with pytest.raises(ValueError, match="was made with another"):
        other(str(images), out_dir=tmp_path, no_save_vis=True, resume=True)
    gone_on = first(str(images), out_dir=tmp_path, no_save_vis=True, resume=True)["predictions"]
    whole = first(str(images))["predictions"]
    assert [one.record() for one in gone_on] == [one.record() for one in whole]


def test_words_of_a_file_that_changed_are_other_words(images, tmp_path, monkeypatch):
    """The config names the file: the same name, other words."""
    file = tmp_path / "words.txt"
    abouts = []
    for words in (WORDS, WORDS[1:]):
        file.write_text("\n".join(words))
        judge = build(unknown=dict(vocabulary=str(file), score_thr=0.2))
        abouts.append(judge._about(0.3))
    different = {key for key in abouts[0] if abouts[0][key] != abouts[1][key]}
    assert different == {"search_for_unknown_objects"}

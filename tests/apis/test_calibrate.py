"""Calibration: the cut and tau that are fitted, the file they lie in, and whom it is refused."""

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from negas import shipped
from negas.apis import Inferencer
from negas.apis.calibration import Calibration, default_path
from negas.apis.fit import calibrate, fit_tau, seek_unknown, use_images, validation_loader
from negas.cli import load_config
from negas.evaluation.collect import RunFolder
from negas.files import write_json
from negas.metrics import f1_threshold, records_to_coco
from negas.records import BoxRecords
from negas.scores import SCORES, get_score
from negas.unknown import UnknownOptions
from negas.unknown.thresholds import ThresholdOptions
from tests.helpers.fake_runs import bare_results, unknown_section
from tests.helpers.length_score import Length
from tests.helpers.shipped_emoji import CONFIG, WEIGHTS, draw_scenes
from tests.helpers.yolo_world import ROOT

IDENTITY = dict(
    checkpoint_sha256="a" * 64,
    base_sha256=None,
    class_names=["cat", "dog"],
    score="negs",
    score_options=dict(temperature=1.0, weight=1.0),
    neg_labels=["fox", "wolf"],
    template="{}",
    learned_prompt=False,
    prompt_negatives=True,
    prefix=None,
    token_reduce=None,
    neg_path=None,
)


def fitted(**changes):
    values = dict(
        cut=0.4,
        tau=0.05,
        wanted_tpr=0.95,
        reached_tpr=0.96,
        counts=dict(images=3, detections=5),
        fitted_for=dict(IDENTITY),
        source=dict(ann_file="val.json"),
    )
    return Calibration(**values | changes)


def records(scores):
    """Boxes of one class whose confidences are ``scores``."""
    scores = np.asarray(scores, np.float32)
    logits = np.log(scores / (1 - scores))[:, None]
    count = len(scores)
    return BoxRecords(
        image_ids=np.arange(count),
        bboxes=np.tile([0, 0, 10, 10], (count, 1)),
        labels=np.zeros(count, int),
        scores=scores,
        id_logits=logits,
        meta=dict(id_labels=["cat"]),
    )


def test_tau_keeps_the_wanted_share_of_the_boxes_over_the_cut():
    values = np.linspace(0.01, 0.99, 99)
    for tpr in (0.5, 0.9, 0.95, 1.0):
        tau, reached, count = fit_tau(records(values), get_score("max_sigmoid"), 0.2, tpr)
        kept = values[values >= 0.2 - 1e-7]
        assert count == len(kept)
        assert tpr <= reached < tpr + 1 / count + 1e-9
        below = kept[kept > tau].min() - tau
        assert 0 < below < 1e-3, "tau lies just under a box's score, not on it"
    assert reached == 1.0 and tau == pytest.approx(0.2, abs=1e-3)


def test_a_saved_calibration_reads_back_the_same(tmp_path):
    path = fitted().save(tmp_path / "deep" / "c.json")
    assert Calibration.load(path) == fitted()
    assert [file.name for file in path.parent.iterdir()] == ["c.json"]
    assert default_path("x/y.pth").as_posix() == "x/y.pth.calibration.json"


def test_nothing_is_written_into_an_installed_package(monkeypatch, tmp_path):
    home = tmp_path / "negas/.mim"
    monkeypatch.setattr(shipped, "_PACKAGE", home.parent)
    monkeypatch.setattr(shipped, "HOME", home)
    assert default_path(home / "data/x.pth") == Path("data/x.pth.calibration.json")
    assert default_path(tmp_path / "x.pth") == tmp_path / "x.pth.calibration.json"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "has no 'version'"),
        ('{"version": 1}', "has no 'cut'"),
        (dict(version=9), "is of version 9"),
        (dict(tau="high"), "tau must be a number, got 'high'"),
        (dict(cut=float("nan")), "it holds NaN"),
        (dict(cut=True), "cut must be a number, got True"),
        (dict(cut=40), r"cut must lie in \[0, 1\], got 40"),
        (dict(fitted_for=[3]), "fitted_for must be an object"),
        (dict(fitted_for={}), "fitted_for has no"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(tmp_path, text, message):
    path = tmp_path / "c.json"
    if isinstance(text, dict):
        text = json.dumps(dict(version=1, **dataclasses.asdict(fitted())) | text)
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        Calibration.load(path)
    assert str(path) in str(caught.value) and "negas calibrate" in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; make one with"):
        Calibration.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(checkpoint_sha256="b" * 64), "another checkpoint .*aaaaaaaaaaaa.*bbbbbbbbbbbb"),
        (dict(class_names=["cat", "cow"]), "other class names .*'dog'.*'cow'"),
        (dict(class_names=["dog", "cat"]), "other class names .*number 1 is 'cat' there, 'dog'"),
        (dict(class_names=["cat", "dog", "elk"]), "other class names .*2 and 3; number 3 .*'elk'"),
        (dict(base_sha256="c" * 64), "another base checkpoint .*None"),
        (dict(score="energy"), "another score .*'negs' instead of 'energy'"),
        (dict(score_options=dict(temperature=2.0)), "other score options"),
        (dict(neg_labels=["fox"]), "other negative labels .*'wolf'"),
        (dict(template="a photo of {}"), "another template"),
        (dict(learned_prompt=True), "another kind of prompt"),
        (dict(prompt_negatives=False), "another use of the prompt .*True instead of False"),
        (dict(prefix="a photo of"), "another prefix"),
        (dict(token_reduce="max"), "another reduction of tokens"),
        (dict(neg_path="projected"), "another path of the negatives"),
    ],
)
def test_a_calibration_of_another_detector_is_refused(change, message):
    fitted().check(IDENTITY)
    with pytest.raises(ValueError, match=message):
        fitted().check(IDENTITY | change)


def section(**changes):
    """Unknown objects of a calibration."""
    values = unknown_section()
    return values | changes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ([], "unknown must be an object"),
        (
            dict(words=["kite", "kite"]),
            "unknown.words and hot have 'kite' twice",
        ),
        (dict(words=[]), "unknown.words is empty"),
        (dict(score_thr="calibrated"), "unknown.score_thr must be a number"),
        (dict(score_thr=1.0), r"unknown.score_thr must lie in \[0, 1\)"),
        (dict(sort_thr=0.3), "unknown has the unknown key 'sort_thr'; did you mean 'score_thr'"),
        (dict(fitted_for={}), "unknown.fitted_for has no 'agreement_weight'"),
        (dict(vocabulary="common"), "unknown.vocabulary must be an object"),
    ],
)
def test_a_section_of_unknown_objects_that_cannot_be(tmp_path, change, message):
    unknown = change if isinstance(change, list) else section(**change)
    text = json.dumps(dict(version=1, **dataclasses.asdict(fitted())) | dict(unknown=unknown))
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        Calibration.load(tmp_path / "c.json")
    assert "negas calibrate" in str(caught.value)


def test_a_section_of_unknown_objects_reads_back_and_may_be_missing(tmp_path):
    whole = fitted(unknown=section())
    assert Calibration.load(whole.save(tmp_path / "c.json")) == whole
    data = json.loads((tmp_path / "c.json").read_text())
    del data["unknown"]
    (tmp_path / "c.json").write_text(json.dumps(data))
    assert Calibration.load(tmp_path / "c.json") == fitted()


def test_another_search_for_unknown_objects_is_refused():
    search = section()["fitted_for"]
    for calibration in (fitted(), fitted(unknown=section())):
        calibration.check(IDENTITY)  # none is sought, or with a number of its own
        calibration.check(IDENTITY | dict(unknown=search))
    fitted().check(IDENTITY | dict(unknown=search | dict(nms=0.9)))
    with pytest.raises(ValueError, match=r"another search for unknown objects \(nms\) \(0.5 inst"):
        fitted(unknown=section()).check(IDENTITY | dict(unknown=search | dict(nms=0.9)))


def test_the_validation_set_is_the_cuts_or_the_trainings():
    both = Config(dict(test_cfg=dict(id_val_dataloader=dict(a=1)), val_dataloader=dict(b=2)))
    assert validation_loader(both) == dict(a=1)
    assert validation_loader(Config(dict(val_dataloader=dict(b=2)))) == dict(b=2)
    with pytest.raises(ValueError, match="no ID validation set .* give --ann-file"):
        validation_loader(Config(dict(test_cfg=None)))


@pytest.mark.parametrize(("option", "value"), [("tpr", 0), ("tpr", 1.5), ("cut", -0.1)])
def test_numbers_out_of_range_are_refused_before_any_work(option, value):
    with pytest.raises(ValueError, match=f"{option} must lie in"):
        calibrate(Config(), "nothing.pth", **{option: value})


def other_category_ids(path):
    """Number the categories of a json another way: only their names tell what they are."""
    data = json.loads(path.read_text())
    for row in data["annotations"]:
        row["category_id"] = 90 - row["category_id"]
    for category in data["categories"]:
        category["id"] = 90 - category["id"]
    path.write_text(json.dumps(data | dict(categories=data["categories"][::-1])))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A calibration of the shipped detector, the config, and the validation json."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        scenes = draw_scenes(tmp_path_factory.mktemp("scenes"))
        other_category_ids(scenes / "annotations/id_val.json")
        cfg = load_config(CONFIG)
        use_images(cfg, f"{scenes}/annotations/id_val.json", f"{scenes}/id_val")
        cfg.val_dataloader.update(num_workers=0, persistent_workers=False)
        yield calibrate(cfg, WEIGHTS, tpr=0.9), cfg, f"{scenes}/annotations/id_val.json"


def test_the_shipped_detector_is_calibrated(run):
    result, _, ann_file = run
    assert 0.1 < result.cut < 0.9
    assert 0.9 <= result.reached_tpr < 1
    assert result.counts["images"] == 24 and result.counts["detections"] > 30
    assert result.fitted_for["score"] == "negs" and len(result.fitted_for["class_names"]) == 19
    assert result.source["ann_file"] == ann_file
    assert result.source["bank"].endswith("llm.json")


def test_tau_of_a_score_that_reads_embeddings(run, monkeypatch):
    monkeypatch.setitem(SCORES, "length", Length)
    cfg = copy.deepcopy(run[1])
    cfg.model.postprocessor = dict(type="OODPostProcessor", score="length")
    result = calibrate(cfg, WEIGHTS, tpr=0.9, cut=0.3)
    assert result.tau > 1 and 0.9 <= result.reached_tpr < 1
    assert result.fitted_for["score"] == "length" and result.source["cut_rule"] == "fixed"


def test_unknown_objects_are_calibrated_with_the_rest(run):
    result, _, _ = run
    section = result.unknown
    assert section["found_on"] == "id_val" and section["id_cut"] == result.cut
    assert section["images"] == 24 and section["source"] == "calibrated"
    assert 0 < section["background_per_image"] <= 0.5 and section["on_known_share"] <= 0.1
    about = section["vocabulary"]
    assert about["source"] == "common" and len(about["sha256"]) == 64
    assert about["words"] == len(section["words"]) + len(section["hot"]) > 1000
    assert section["fitted_for"]["share"] == 0.2


def test_limits_vocabulary_and_a_set_of_its_own_for_unknown_objects(run, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    result, cfg, ann_file = run
    cfg = copy.deepcopy(cfg)
    draw_scenes(tmp_path, 6, "id_val_clean")
    clean = copy.deepcopy(cfg.val_dataloader)
    clean.dataset.ann_file = f"{tmp_path}/annotations/id_val_clean.json"
    clean.dataset.data_prefix = dict(img=f"{tmp_path}/id_val_clean")
    cfg.test_cfg = dict(id_val_clean_dataloader=clean)
    seek_unknown(cfg, ["kite", "fork", "hat", "piano", "lamp"])
    limits = ThresholdOptions(a=2, b=1, hot=1)
    found = calibrate(cfg, WEIGHTS, tpr=0.9, limits=limits)
    assert (found.cut, found.tau) == (result.cut, result.tau), "the other numbers stay"
    assert found.source["ann_file"] == ann_file
    section = found.unknown
    assert section["found_on"] == "id_val_clean" and section["images"] == 6
    assert section["words"] == ["kite", "fork", "hat", "piano", "lamp"]
    assert (section["a"], section["b"], section["hot_share"]) == (2, 1, 1)
    use_images(cfg, ann_file, "elsewhere")
    assert "id_val_clean_dataloader" not in cfg.test_cfg, "other images take the place of both"


def test_the_inferencer_takes_the_calibration_of_its_own_search_only(run):
    result, cfg, _ = run
    assert Inferencer(cfg, WEIGHTS, calibration=result).calibration == result
    other = copy.deepcopy(cfg)
    other.model.test_cfg.unknown.nms = 0.9
    with pytest.raises(ValueError, match="another search for unknown objects .nms. .0.5 instead"):
        Inferencer(other, WEIGHTS, calibration=result)


def test_without_unknown_objects_there_is_no_section(run):
    cfg = copy.deepcopy(run[1])
    cfg.model.test_cfg.unknown = None
    assert calibrate(cfg, WEIGHTS, tpr=0.9, cut=0.3).unknown is None


@pytest.fixture
def recorded(run, tmp_path):
    """Records of the validation set, as a test would have left them."""
    result, _, ann_file = run
    truth = json.loads(open(ann_file).read())
    rng = np.random.default_rng(0)
    rows = [ann for ann in truth["annotations"] if not ann["iscrowd"]]
    names = {category["id"]: category["name"] for category in truth["categories"]}
    classes = result.fitted_for["class_names"]
    labels = np.array([classes.index(names[ann["category_id"]]) for ann in rows])
    boxes = np.array([ann["bbox"] for ann in rows], float)
    boxes[:, 2:] += boxes[:, :2]
    logits = rng.normal(-3, 0.5, (len(rows), len(classes)))
    logits[np.arange(len(rows)), labels] = rng.normal(1, 1, len(rows))
    labels = logits.argmax(1)
    part = BoxRecords(
        image_ids=[ann["image_id"] for ann in rows],
        bboxes=boxes,
        labels=labels,
        scores=1 / (1 + np.exp(-logits.max(1))),
        id_logits=logits,
        neg_logits=rng.normal(-3, 1, (len(rows), len(result.fitted_for["neg_labels"]))),
        meta=dict(id_labels=classes, neg_labels=result.fitted_for["neg_labels"], ann_file=ann_file),
    )
    part.save(tmp_path / "records" / "id_val.npz")
    return tmp_path / "records" / "id_val.npz"


@pytest.fixture
def cfg(run):
    """Without unknown objects: made-up records hold no cells."""
    cfg = copy.deepcopy(run[1])
    cfg.model.test_cfg.unknown = None
    return cfg


def test_records_take_the_place_of_running_the_detector(run, recorded, cfg):
    _, _, ann_file = run
    result = calibrate(cfg, WEIGHTS, records=recorded)
    part = BoxRecords.load(recorded)
    assert result.cut == f1_threshold(ann_file, records_to_coco(part, ann_file)).threshold
    values = get_score("negs")(part.id_logits, part.neg_logits)[part.scores >= result.cut]
    assert result.reached_tpr == pytest.approx((values >= result.tau).mean())
    assert result.reached_tpr >= 0.95 and result.counts["detections"] == len(values)
    # the report of the test that wrote them knows the cut and the checkpoint
    report = bare_results(cut=0.123, checkpoint_sha256=None)
    report["cuts"]["run"] = dict(value=0.5, rule="fixed", source="fixed")  # not the best F1
    write_json(recorded.parents[1] / "ood_results.json", report)
    assert calibrate(cfg, WEIGHTS, records=recorded).cut == 0.123
    report["cuts"]["val_f1"]["source"] = "id_test"  # a cut of test images is none to calibrate with
    write_json(recorded.parents[1] / "ood_results.json", report)
    assert calibrate(cfg, WEIGHTS, records=recorded).cut == result.cut


def test_records_of_another_checkpoint_set_or_vocabulary_are_refused(recorded, cfg):
    report = recorded.parents[1] / "ood_results.json"
    write_json(report, bare_results(checkpoint="other.pth", checkpoint_sha256="b" * 64))
    with pytest.raises(ValueError, match=r"another checkpoint \('other.pth'\)"):
        calibrate(cfg, WEIGHTS, records=recorded)
    report.unlink()
    part = BoxRecords.load(recorded)
    part.meta["set"] = "near"
    part.save(recorded)
    with pytest.raises(ValueError, match="are of the set 'near'; cut and tau come from the ID val"):
        calibrate(cfg, WEIGHTS, records=recorded)
    part.meta["set"] = "id_val"
    part.meta["id_labels"] = [*part.meta["id_labels"][:-1], "zebra"]
    part.save(recorded)
    with pytest.raises(ValueError, match="made with other class_names"):
        calibrate(cfg, WEIGHTS, records=recorded)


WORDS = ("kite", "fork", "hat")


def make_test(home, part, words=WORDS, **options):
    """A finished test with cells: each image has one where no object is, ``fork`` names it."""
    images = part.images
    cells = BoxRecords(
        image_ids=images,
        bboxes=np.tile([150, 150, 160, 160], (len(images), 1)),
        labels=np.zeros(len(images), int),
        scores=np.full(len(images), 0.01),
        id_logits=np.full((len(images), part.num_ids), -4.6),
        embeddings=np.linspace(-2, 2, len(images))[:, None] * [0, 1, 0],
        images=images,
        meta=dict(id_labels=part.meta["id_labels"]),
    )
    results = bare_results(sets=("id", "id_val", "near"), cut=0.3)
    folder = RunFolder(home)
    for name in ("id", "id_val", "near"):
        folder.add(name, part)
        folder.add_cells(name, cells)
    folder.add_feats({"model": np.eye(2)}, {"vocabulary": np.array([[1.0, 0], [0, 1], [1, 0]])})
    settings = UnknownOptions(vocabulary=WORDS, share=0.2, **options).record()
    if words:
        results["unknown"] = dict(words=list(words), options=settings)
    folder.finish(results)
    folder.release()
    return home / "records" / "id_val.npz"


def test_cells_of_a_test_calibrate_unknown_objects(cfg, recorded, tmp_path):
    part = BoxRecords.load(recorded)
    seek_unknown(cfg, WORDS)
    cfg.model.test_cfg.unknown.id_weight = 0  # scores are the word's
    file = make_test(tmp_path / "a", part)
    limits = ThresholdOptions(a=0.25, hot=1)
    section = calibrate(cfg, WEIGHTS, records=file, limits=limits).unknown
    assert section["background_per_image"] == 0.25 and section["found_on"] == "id_val"
    scores = 1 / (1 + np.exp(-np.linspace(-2, 2, len(part.images))))
    kept = len(part.images) // 4
    assert scores[-kept - 1] < section["score_thr"] < scores[-kept]
    for changed, message in (
        (dict(words=()), "are of a test without cells, .* give --unknown none"),
        (dict(words=WORDS[::-1]), "other words of a vocabulary than the config's .*'hat'.*'kite'"),
        (dict(min_size=9), r"another model.test_cfg.unknown.min_size \(9 instead of 4\)"),
    ):
        file = make_test(tmp_path / "b", part, **changed)
        with pytest.raises(ValueError, match=message):
            calibrate(cfg, WEIGHTS, records=file)
    with pytest.raises(ValueError, match="at no threshold .* give --unknown none"):
        file = make_test(tmp_path / "c", part)
        calibrate(cfg, WEIGHTS, records=file, limits=ThresholdOptions(a=0, hot=1))

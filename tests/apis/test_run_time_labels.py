"""Other labels and another tau on an Inferencer that is built: no weights are loaded again."""

import dataclasses

import pytest

from negas.apis import Inferencer, inferencer
from negas.apis.calibration import Calibration, default_path, identity
from negas.cli import load_config
from tests.helpers.shipped_emoji import CONFIG, WEIGHTS, copy_weights, draw_scenes
from tests.helpers.yolo_world import ROOT

DINO = "configs/negas/stock_grounding-dino-tiny_emoji-world.py"
DINO_WEIGHTS = ROOT / "data/emoji_world/grounding_dino_tiny.safetensors"
LABELS = dict(classes=["dog", "sailing boat"], negatives=["wolf", "statue"])


pytestmark = pytest.mark.usefixtures("in_root")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return str(draw_scenes(tmp_path_factory.mktemp("scenes"), 4) / "id_val")


@pytest.fixture(scope="module")
def build():
    """One Inferencer a config; its labels are the config's again after every test."""
    made = {}

    unknown = dict(vocabulary=["kite", "dog", "tent", "bus"], score_thr=0.05)

    def build(config=CONFIG, weights=WEIGHTS):
        if config not in made:
            made[config] = Inferencer(
                config, weights, "cpu", show_progress=False, unknown=unknown, calibration=None
            )
        made[config].set_labels(calibration=None, unknown=unknown)
        return made[config]

    return build


def boxes_of(judge, images):
    found = judge(images, pred_score_thr=0.02)["predictions"]
    return [one.record() for one in found]


def columns(one):
    return one["id_score"], one["known"]


@pytest.fixture
def no_weights(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("weights are being loaded")

    def forbid():
        monkeypatch.setattr(inferencer.DetInferencer, "_load_weights_to_model", fail)
        monkeypatch.setattr(inferencer.DetInferencer, "__init__", fail)

    return forbid


@pytest.mark.parametrize(("config", "weights"), [(CONFIG, WEIGHTS), (DINO, DINO_WEIGHTS)])
def test_labels_change_as_if_the_detector_were_built_with_them(
    build, images, config, weights, no_weights
):
    fresh = Inferencer(
        config,
        weights,
        "cpu",
        **LABELS,
        show_progress=False,
        unknown=dict(vocabulary=["kite", "dog", "tent", "bus"], score_thr=0.05),
    )
    wanted = boxes_of(fresh, images)
    judge = build(config, weights)
    no_weights()
    before = boxes_of(judge, images)
    judge.set_labels(**LABELS)
    assert boxes_of(judge, images) == wanted != before
    assert {name for one in wanted for name in one["names"]} <= {
        *LABELS["classes"],
        "unknown",
    }
    assert judge.model.finder.words == ("kite", "tent", "bus"), "a class is no word"
    assert identity(judge.model, weights) == identity(fresh.model, weights)
    assert judge.visualizer.dataset_meta["classes"] == ("dog", "sailing boat")
    judge.set_labels(["dog"], negatives=[])
    assert judge.model.postprocessor.score_name == "max_sigmoid" and not judge.model.neg_labels
    judge.set_labels()
    assert boxes_of(judge, images) == before and judge.model.postprocessor.score_name == "negs"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (dict(classes=["dog", "dog"], negatives=[]), "'dog' stands there twice"),
        (dict(classes=["dog"]), "give negatives for yours"),
        (dict(classes=["dog"], negatives=["dog"]), "dog"),
        (dict(classes=["dog", "very " * 90 + "cat"], negatives=[]), "tokens"),
        (LABELS | dict(calibration="lost.json"), "'lost.json' does not exist"),
    ],
)
def test_labels_that_do_not_fit_leave_those_before(build, images, labels, message):
    judge = build()
    judge.tau = 0.1
    before = boxes_of(judge, images)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        judge.set_labels(**labels)
    assert boxes_of(judge, images) == before and judge.tau == 0.1


def test_a_tau_gives_verdicts_until_the_labels_change(build, images):
    judge = build()
    assert judge.tau is None
    unjudged = boxes_of(judge, images)
    for one in unjudged:
        scores = [score for score in one["id_score"] if score is not None]
        assert scores == sorted(scores, reverse=True), "without a verdict they are ranked"
        for score, known in zip(*columns(one), strict=True):
            assert known is (False if score is None else None)
    judge.tau = 0.1
    rows = [row for one in boxes_of(judge, images) for row in zip(*columns(one), strict=True)]
    judged = [(score, known) for score, known in rows if score is not None]
    assert all(known is (score >= 0.1) for score, known in judged if abs(score - 0.1) > 1e-6)
    assert {known for _, known in judged} == {True, False}
    judge.set_labels(**LABELS)
    assert judge.tau is None
    judge.tau = 1
    judge.tau = None
    assert judge.tau is None


@pytest.mark.parametrize("tau", ["high", True, float("nan")])
def test_a_tau_is_a_number(build, tau):
    judge = build()
    with pytest.raises(ValueError, match="tau must be"):
        judge.tau = tau


def test_a_detector_without_an_ood_score_takes_none(images):
    cfg = load_config(CONFIG)
    for key in ("neg_labels", "postprocessor", "use_nega", "prompt", "background", "loss_ood"):
        cfg.model.pop(key, None)
    cfg.model.type = "YOLOWorldDetector"
    stock = Inferencer(cfg, WEIGHTS, "cpu", calibration=None, show_progress=False)
    with pytest.raises(ValueError, match="gives no OOD score, so it has no verdict"):
        stock.tau = 0.5
    found = boxes_of(stock, images)
    assert {verdict for one in found for verdict in one["known"] + one["id_score"]} == {None}


def test_that_there_is_no_verdict_is_said_once_for_some_labels(build, images, monkeypatch):
    said = []
    monkeypatch.setattr(inferencer, "print_log", lambda text, _: said.append(text))
    judge = build()
    for labels in ({}, LABELS):
        judge.set_labels(**labels, calibration=None)
        said.clear()
        judge(images)
        judge(images)
        assert len(said) == 1 and "no verdict: there is no calibration of these labels" in said[0]
        assert "choose a tau" in said[0]
    judge.set_labels()
    said.clear()
    judge.tau = 0.1
    judge(images)
    assert said == []


def test_a_calibration_of_labels_lies_beside_the_checkpoint_under_its_own_name(
    tmp_path, monkeypatch
):
    weights = copy_weights(tmp_path)
    judge = Inferencer(CONFIG, weights, "cpu", **LABELS, show_progress=False)
    own = default_path(weights, judge.cfg.model)
    assert own.parent == tmp_path and own != default_path(weights)
    fitted = Calibration(
        cut=0.2,
        tau=0.1,
        wanted_tpr=0.9,
        reached_tpr=0.9,
        counts=dict(images=1, detections=1),
        fitted_for=identity(judge.model, weights),
        source={},
    )
    fitted.save(own)
    found = Inferencer(CONFIG, weights, "cpu", **LABELS, show_progress=False)
    assert found.calibration == fitted and found.tau == 0.1 and found.threshold == 0.2
    found.set_labels()
    assert found.calibration is None and found.tau is None
    found.set_labels(**LABELS)
    assert found.calibration == fitted and found.tau == 0.1
    found.set_labels(**LABELS | dict(negatives=["wolf"]))
    assert found.calibration is None, "other labels, another file"
    with pytest.raises(ValueError, match="was fitted for other negative labels"):
        found.set_labels(**LABELS | dict(negatives=["wolf"]), calibration=own)
    said = []
    monkeypatch.setattr(inferencer, "print_log", lambda text, _: said.append(text))
    fitted.save(default_path(weights))
    found.set_labels(["cat"], ["wolf"])
    assert found.calibration is None and "not used: " in said[0] and "other class names" in said[0]
    other = dict(fitted.fitted_for, checkpoint_sha256="b" * 64)
    dataclasses.replace(fitted, fitted_for=other).save(own)
    with pytest.raises(ValueError, match="was fitted for another checkpoint"):
        found.set_labels(**LABELS)


def test_the_search_for_unknown_objects_is_changed_with_the_labels(build):
    inferencer = build()
    before = inferencer.model.finder.words
    inferencer.set_labels(calibration=None)
    assert inferencer.model.finder.words == before
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
        inferencer.set_labels(calibration=None, unknown="nowhere.txt")
    assert inferencer.model.finder.words == before
    inferencer.set_labels(calibration=None, unknown=False)
    assert inferencer.model.finder is None
    inferencer.set_labels(**LABELS)
    assert inferencer.model.finder is None
    inferencer.set_labels(**LABELS, unknown=dict(vocabulary=["moon"], score_thr=0.1))
    assert inferencer.model.finder.words == ("moon",)

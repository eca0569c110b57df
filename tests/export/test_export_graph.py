"""What is traced for a file gives what the detector gives, and what cannot be traced is refused."""

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
from dataclasses import dataclass, fields

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from negas.apis import Inferencer
from negas.cli import load_config
from negas.export.graph import ExportedDetector, Network
from negas.export.verify import Agreement
from negas.export.write import Wanted, build
from negas.models.traced import Selection, Traced
from negas.models.yolo_world.head import YOLOWorldHead
from negas.pictures import read_rgb
from negas.scores import SCORES, get_score
from tests.helpers.length_score import Length
from tests.helpers.shipped_emoji import CONFIG, WEIGHTS, draw_scenes
from tests.helpers.yolo_world import ROOT

DINO = (
    "configs/negas/stock_grounding-dino-tiny_emoji-world.py",
    ROOT / "data/emoji_world/grounding_dino_tiny.safetensors",
)
DETECTORS = {"yolo_world": (CONFIG, WEIGHTS), "grounding_dino": DINO}
SCORE_THR, TAU = 0.1, 0.05


pytestmark = pytest.mark.usefixtures("in_root")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = draw_scenes(tmp_path_factory.mktemp("scenes"), 4) / "id_val"
    return sorted(map(str, folder.glob("*.*")))


def inferencer(name, **more):
    made = Inferencer(*DETECTORS[name], device="cpu", unknown=False, show_progress=False, **more)
    made.tau = TAU
    return made


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request):
    return inferencer(request.param)


def rows_of(module, about, pictures):
    """What the module gives for pictures, one dict of used rows each."""
    pixels = np.stack([about.letterbox(read_rgb(path))[0] for path in pictures])
    with torch.no_grad():
        found = module(torch.from_numpy(pixels), *module.network.traced.texts())
    found = dict(zip(module.output_names, found, strict=True))
    used = [labels >= 0 for labels in found["labels"]]
    return [
        {key: values[i][mask].numpy() for key, values in found.items()}
        for i, mask in enumerate(used)
    ]


def test_rows_are_those_of_the_inferencer(detector, pictures):
    module, about = build(detector, Wanted(score_thr=SCORE_THR, raw=True))
    found = detector(pictures, pred_score_thr=SCORE_THR)["predictions"]
    assert sum(map(len, found)) > 8
    verdicts = np.concatenate([one.known for one in found])
    assert set(verdicts) == {True, False}
    for rows, theirs in zip(rows_of(module, about, pictures), found, strict=True):
        np.testing.assert_array_equal(rows["labels"], theirs.labels)
        np.testing.assert_array_equal(rows["known"], theirs.known.astype(bool))
        np.testing.assert_allclose(rows["boxes"].clip(0, 160), theirs.boxes, atol=1e-3)
        np.testing.assert_allclose(rows["scores"], theirs.confidence, atol=1e-5)
        np.testing.assert_allclose(rows["id_scores"], theirs.id_score, atol=1e-5)
        names = [detector.model.neg_labels[i] for i in rows["unknown_like"]]
        assert names == theirs.unknown_like.tolist()
        np.testing.assert_allclose(rows["unknown_like_score"], theirs.unknown_like_score, atol=1e-5)
        again = get_score("negs")(rows["id_logits"], rows["neg_logits"])
        np.testing.assert_allclose(again, theirs.id_score, atol=1e-5)


class FakeTraced(Traced):
    """Boxes and logits that are given; no network."""

    def __init__(self, boxes, logits, selection, negatives=3):
        detector = torch.nn.Module()
        detector.neg_labels = tuple("abc"[:negatives])
        super().__init__(detector, (64, 64))
        self.boxes, self.logits, self.chosen = boxes, logits, selection

    @property
    def selection(self):
        return self.chosen

    def cells(self, images, texts):
        return self.boxes, self.logits, self.logits.flip(-1)

    def neg_logits(self, regions, cells, texts):
        return regions[..., :3] - 1


def crowd(images=2, places=60, labels=4):
    rng = torch.Generator().manual_seed(3)
    corners = torch.rand(images, places, 2, generator=rng) * 30
    sides = torch.rand(images, places, 2, generator=rng) * 20 + 12
    logits = torch.randn(images, places, labels, generator=rng) * 1.5
    return torch.cat([corners, corners + sides], -1), logits


@pytest.mark.parametrize("multi_label", [True, False])
@pytest.mark.parametrize("class_agnostic", [True, False])
@pytest.mark.parametrize(("candidates", "max_per_img"), [(1000, 300), (1000, 7), (40, 300)])
@pytest.mark.parametrize("cut", [0.02, 0.6])
def test_rows_are_selected_as_the_head_does(
    multi_label, class_agnostic, candidates, max_per_img, cut
):
    boxes, logits = crowd()
    cfg = ConfigDict(
        score_thr=0.05,
        nms_pre=candidates,
        nms=dict(type="nms", iou_threshold=0.4, class_agnostic=class_agnostic),
        multi_label=multi_label,
        max_per_img=max_per_img,
    )
    chosen = Selection(0.05, 0.4, class_agnostic, multi_label, candidates, max_per_img)
    network = Network(FakeTraced(boxes, logits, chosen), [0.0], [1.0], False)
    module = ExportedDetector(network, get_score("negs"), cut, 0.0)
    found = module(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    found = dict(zip(module.output_names, found, strict=True))
    head = InstanceData()
    for i in range(2):
        head.test_cfg = cfg
        meta = dict(ori_shape=(64, 64), img_shape=(64, 64))
        theirs = YOLOWorldHead._select(Head(cfg), logits[i], boxes[i], meta, True)
        keep = theirs.scores >= float(np.float32(cut))  # as the Inferencer keeps them
        keep &= theirs.labels == logits[i, theirs.prior_inds].argmax(1)
        theirs = theirs[keep]
        used = found["labels"][i] >= 0
        assert len(theirs) == used.sum() and len(theirs) > 3
        assert found["labels"][i][used].tolist() == theirs.labels.tolist()
        torch.testing.assert_close(found["scores"][i][used], theirs.scores)
        torch.testing.assert_close(found["boxes"][i][used].clamp(0, 64), theirs.bboxes)
        ids, negatives = logits[i, theirs.prior_inds], logits[i, theirs.prior_inds].flip(-1)
        scores = get_score("negs")(ids, negatives[:, :3] - 1)
        torch.testing.assert_close(found["id_scores"][i][used], scores.float())
        assert found["known"][i][used].tolist() == (scores >= 0).tolist()
        assert not found["known"][i][~used].any()


@dataclass
class Head:
    """As much of the head as the selection reads."""

    test_cfg: ConfigDict


OF_LOGITS = [name for name, score in SCORES.items() if not score.needs_embeddings]


@pytest.mark.parametrize("name", sorted(set(SCORES) - set(OF_LOGITS)))
def test_a_score_that_reads_embeddings_is_refused(name):
    with pytest.raises(ValueError, match=f"score '{name}' reads the embedding of a box"):
        get_score(name).traced(3)


@pytest.mark.parametrize("name", OF_LOGITS)
def test_every_score_of_logits_is_traced_without_its_checks(name):
    boxes, logits = crowd(1, 20)
    score = get_score(name, temperature=2.0).traced(3)
    chosen = Selection(-1.0, None, False, False, None, 20)
    network = Network(FakeTraced(boxes, logits, chosen), [0.0], [1.0], False)
    module = ExportedDetector(network, score, 0.0, None, raw=True)
    found = module(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    found = dict(zip(module.output_names, found, strict=True))
    assert "known" not in found
    expected = score(found["id_logits"], found["neg_logits"])
    torch.testing.assert_close(found["id_scores"], expected.float())


def test_a_detector_without_negatives_has_no_such_outputs():
    boxes, logits = crowd(1, 20)
    chosen = Selection(-1.0, None, False, False, None, 20)
    network = Network(FakeTraced(boxes, logits, chosen, 0), [0.0], [1.0], False)
    module = ExportedDetector(network, get_score("max_sigmoid"), 0.2, 0.5, raw=True)
    expected = ("boxes", "labels", "scores", "id_scores", "known", "id_logits")
    assert module.output_names == expected
    assert len(module(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))) == len(expected)


def test_scores_that_read_more_than_logits_are_refused(monkeypatch):
    monkeypatch.setitem(SCORES, "length", Length)
    with pytest.raises(ValueError, match="reads the embedding of a box and cannot be exported"):
        get_score("length").traced(3)
    drawn = get_score("neglabel", groups=2, generator=torch.Generator())
    with pytest.raises(ValueError, match="groups the negatives anew on each call"):
        drawn.traced(3)
    with pytest.raises(ValueError, match="groups of any number of negatives cannot"):
        get_score("neglabel", groups=2).traced(None)


def test_what_cannot_be_exported_is_one_sentence(detector):
    with pytest.raises(ValueError, match="both sides must be multiples of 32"):
        build(detector, Wanted(size=(100, 160)))
    if "DINO" in type(detector.model).__name__:
        with pytest.raises(ValueError, match="reads its labels as one caption"):
            build(detector, Wanted(mode="open"))
    cfg = load_config(str(detector.cfg.filename or CONFIG)) if detector.cfg.filename else None
    assert cfg is None or cfg.model.type == type(detector.model).__name__


def test_a_stock_class_has_no_verdict_to_export():
    cfg = load_config(CONFIG)
    kept = ("type", "backbone", "neck", "bbox_head", "data_preprocessor", "test_cfg")
    model = {key: cfg.model[key] for key in kept if key in cfg.model}
    neck = model["neck"].get("neck", model["neck"])
    cfg.model = ConfigDict(
        model | dict(type="YOLOWorldDetector", neck=neck, class_names=["cat", "dog"])
    )
    stock = Inferencer(cfg, WEIGHTS, "cpu", unknown=False, show_progress=False)
    with pytest.raises(ValueError, match="gives no OOD score, so it has no verdict"):
        build(stock, Wanted())


def test_agreement_counts_what_differs(detector, pictures):
    (found,) = detector(pictures[:1], pred_score_thr=SCORE_THR)["predictions"]
    same = Agreement()
    same.add(found, found)
    assert (same.boxes, same.alone, same.flips, same.renamed) == (len(found), 0, 0, 0)
    assert set(same.largest.values()) == {0.0}
    from dataclasses import replace

    known = found.known.copy()
    known[0] = not known[0]
    moved = replace(found, known=known, id_score=found.id_score + 0.25)[: len(found) - 1]
    other = Agreement()
    other.add(found, moved)
    assert (other.alone, other.flips) == (1, 1)
    assert other.largest["id_score"] == pytest.approx(0.25, abs=1e-6)
    assert {field.name for field in fields(other)} >= {"to_known", "to_unknown"}

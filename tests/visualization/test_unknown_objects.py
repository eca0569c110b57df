"""Unknown objects on pictures: apart from ID boxes, captions that do not pile up."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from PIL import Image

from negas.records import BoxRecords
from negas.scores import get_score
from negas.visualization import boxes as drawing
from negas.visualization import painting, visualizer
from negas.visualization.boxes import KNOWN, UNKNOWN, detections_page, draw_scene
from negas.visualization.painting import paint_sets
from negas.visualization.visualizer import VerdictVisualizer

GREY, WHITE = (128, 128, 128), (255, 255, 255)


def grey(width=200, height=150):
    return Image.new("RGB", (width, height), GREY)


def test_the_three_kinds_look_different():
    bboxes = np.array([[10, 30, 50, 90], [80, 30, 120, 90], [140, 30, 180, 90]], float)
    page = draw_scene(grey(), bboxes, [True, False, None], ["a", "b", "c"])
    lower = [{page.getpixel((x, 90)) for x in range(x1, x1 + 41)} for x1 in (10, 80, 140)]
    assert lower == [{KNOWN}, {UNKNOWN, GREY}, {UNKNOWN}]
    # a red box is seen on red, too
    outside = [{page.getpixel((x, 91)) for x in range(x1, x1 + 41)} for x1 in (10, 80, 140)]
    assert outside == [{GREY}, {GREY}, {WHITE}]


def test_unknown_objects_are_painted_over_the_others():
    bboxes = np.array([[10.0, 30, 50, 90]] * 3)
    for known in itertools.permutations([True, False, None]):
        page = draw_scene(grey(), bboxes, known, ["", "", ""])
        assert {page.getpixel((10, y)) for y in range(40, 80)} == {UNKNOWN}


@pytest.fixture
def placed(monkeypatch):
    """Captions in the order in which they are drawn."""
    found = []
    monkeypatch.setattr(drawing._Caption, "draw", lambda self, draw: found.append(self))
    return found


def overlap(a, b):
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


@pytest.mark.parametrize("corner", [(100, 100), (0, 0), (260, 260), (0, 285)])
def test_captions_of_boxes_in_one_place_do_not_cover_each_other(placed, corner):
    x, y = corner
    bboxes = np.array([[x, y, x + 35, y + 30]] * 8, float)
    texts = [f"unknown: air conditioner 0.{i}" for i in range(8)]
    draw_scene(grey(320, 320), bboxes, [None] * 8, texts)
    areas = [caption.area for caption in placed]
    assert len(areas) == 8
    for a, b in itertools.combinations(areas, 2):
        assert not overlap(a, b)
    for left, top, right, bottom in areas:
        assert left >= 0 and top >= 0 and right <= 321 and bottom <= 320


def test_the_surest_unknown_object_has_the_best_place_and_lies_on_top(placed):
    bboxes = np.array([[100.0, 100, 160, 160]] * 4)
    known = [True, None, None, False]
    draw_scene(grey(320, 320), bboxes, known, ["dog", "first", "second", "flagged"])
    assert [caption.text for caption in placed] == ["dog", "flagged", "second", "first"]
    assert placed[-1].area[:2] == (100, 100 - 18)


def test_a_crowd_keeps_the_surest_legible(placed):
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 280, (100, 2))
    bboxes = np.concatenate([starts, starts + 35], 1)
    texts = [f"unknown: air conditioner 0.{99 - i:02d}" for i in range(100)]
    draw_scene(grey(320, 320), bboxes, [None] * 100, texts)
    surest = [caption.area for caption in placed[-12:]]
    assert not any(overlap(a, b) for a, b in itertools.combinations(surest, 2))


def test_a_caption_wider_than_the_page_shrinks(placed):
    text = "unknown: a quite unusual musical instru 0.97"
    for width in (500, 260, 60):
        draw_scene(grey(width, 100), np.array([[5.0, 40, 50, 90]]), [None], [text])
    points = [caption.points for caption in placed]
    assert points[0] == 15 and 10 < points[1] < 15 and points[2] == 10
    assert placed[1].area[2] <= 261, "it fits"


def finds(image_ids, bboxes, scores, words):
    return SimpleNamespace(
        image_ids=np.array(image_ids),
        bboxes=np.array(bboxes, np.float32).reshape(-1, 4),
        scores=np.array(scores),
        words=np.array(words, int),
    )


def records(root):
    """A known and a flagged box on image 1, none on images 2 and 3."""
    for i in (1, 2, 3):
        (root / "img").mkdir(exist_ok=True)
        grey(400, 300).save(root / f"img/{i}.png")
    coco = dict(images=[dict(id=i, file_name=f"{i}.png") for i in (1, 2, 3)])
    (root / "a.json").write_text(json.dumps(coco))
    logits = np.array([[3.0, -3.0], [-3.0, 0.5]], np.float32)
    return BoxRecords(
        image_ids=np.array([1, 1]),
        bboxes=[[10, 40, 100, 140], [200, 40, 300, 140]],
        labels=logits.argmax(1),
        scores=1 / (1 + np.exp(-logits.max(1))),
        id_logits=logits,
        images=[1, 2, 3],
        meta=dict(id_labels=["cat", "dog"], ann_file=f"{root}/a.json", img_dir=f"{root}/img"),
    )


WORDS = ["kettle", "tent"]
FOUND = finds([1, 2], [[20, 180, 90, 260], [30, 60, 90, 150]], [0.9712, 0.5], [1, 0])


@pytest.fixture
def captions_of(monkeypatch):
    """Boxes, verdicts and captions of every scene that is drawn."""
    drawn, real = [], drawing.draw_scene

    def spy(image, bboxes, known, captions, scale=1):
        drawn.append((np.asarray(bboxes).tolist(), list(known), list(captions)))
        return real(image, bboxes, known, captions, scale)

    for module in (drawing, visualizer):
        monkeypatch.setattr(module, "draw_scene", spy)
    return drawn


def test_sets_are_painted_with_their_unknown_objects(tmp_path, captions_of):
    part, score = records(tmp_path), get_score("max_sigmoid")
    paint_sets(dict(near=part, far=part), score, 0.55, 0.8, tmp_path / "o", dict(near=FOUND), WORDS)
    assert [known for _, known, _ in captions_of] == [
        [True, False, None], [None], [], [True, False], [], []
    ]  # fmt: skip
    assert captions_of[0][2] == ["cat 0.95", "dog 0.62", "unknown: tent 0.97"]
    assert captions_of[1][2] == ["unknown: kettle 0.50"]
    page = Image.open(tmp_path / "o/near/2.png")
    assert {page.getpixel((x, 150)) for x in range(30, 91)} == {UNKNOWN}
    assert {page.getpixel((30, y)) for y in range(80, 140)} == {UNKNOWN}


def test_unknown_objects_shrink_with_a_huge_picture(tmp_path, captions_of, monkeypatch):
    monkeypatch.setattr(painting, "paintable", lambda pixels: (pixels[::2, ::2], 0.5))
    sets = dict(near=records(tmp_path))
    paint_sets(sets, get_score("max_sigmoid"), 0.55, 0.8, tmp_path / "o", dict(near=FOUND), WORDS)
    assert captions_of[0][0][2] == [10, 90, 45, 130]


def test_the_page_shows_scenes_with_unknown_objects_alone(tmp_path, captions_of):
    sets = dict(near=records(tmp_path))
    what = dict(cut=0.55, tau=0.8, path=tmp_path / "page.png")
    detections_page(sets, "max_sigmoid", **what, unknown=dict(near=FOUND), words=WORDS)
    assert [captions[-1] for *_, captions in captions_of] == [
        "unknown: tent 0.97", "unknown: kettle 0.50"
    ]  # fmt: skip
    captions_of.clear()
    detections_page(sets, "max_sigmoid", **what)
    assert [known for _, known, _ in captions_of] == [[True, False]]


def sample(judged, like=("tent",)):
    found = DetDataSample()
    found.pred_instances = InstanceData(
        bboxes=torch.tensor([[10.0, 40, 100, 140], [200, 40, 300, 140]]),
        labels=torch.tensor([0, 1]),
        scores=torch.tensor([0.9, 0.8]),
    )
    if judged:
        found.pred_instances.id_scores = torch.tensor([0.7, 0.1])
        found.pred_instances.known = torch.tensor([True, False])
    found.unknown_instances = InstanceData(
        bboxes=torch.tensor([[20.0, 180, 90, 260]]), scores=torch.tensor([0.97])
    )
    if like:
        found.unknown_instances.unknown_like = list(like)
    return found


def shown(data, width=400, **more):
    judge = VerdictVisualizer()
    judge.dataset_meta = dict(classes=("cat", "dog"), palette="random")
    image = np.asarray(grey(width, width * 3 // 4))
    judge.add_datasample("a", image, data, **dict(draw_gt=False, pred_score_thr=-1) | more)
    return judge


@pytest.mark.parametrize(
    ("judged", "known", "texts"),
    [
        (True, [True, False, None], ["cat 0.70", "unknown 0.10", "unknown: tent 0.97"]),
        (False, [True, True, None], ["cat 0.90", "dog 0.80", "unknown: tent 0.97"]),
    ],
)
def test_a_prediction_is_shown_with_its_unknown_objects(captions_of, judged, known, texts):
    judge = shown(sample(judged))
    assert captions_of == [(captions_of[0][0], known, texts)]
    assert captions_of[0][0][2] == [20, 180, 90, 260]
    assert tuple(judge.drawn[200, 20]) == UNKNOWN
    captions_of.clear()
    bare = sample(judged)
    del bare.unknown_instances
    judge.add_datasample("b", np.asarray(grey(400, 300)), bare, draw_gt=False)
    assert [known for _, known, _ in captions_of] == ([[True, False]] if judged else [])


def test_words_that_nobody_tells_and_annotations(captions_of):
    data = sample(True, like=())
    data.gt_instances = InstanceData(
        bboxes=torch.tensor([[10.0, 40, 100, 140]]), labels=torch.tensor([0])
    )
    shown(data, draw_gt=True)
    assert [texts[-1] for *_, texts in captions_of] == ["unknown 0.97"]


def test_a_huge_picture_is_reduced_with_them(captions_of, monkeypatch):
    monkeypatch.setattr(visualizer, "paintable", lambda pixels: (pixels[::2, ::2], 0.5))
    data = sample(True)
    shown(data)
    assert captions_of[0][0][2] == [10, 90, 45, 130]
    assert data.unknown_instances.bboxes.tolist() == [[20, 180, 90, 260]]

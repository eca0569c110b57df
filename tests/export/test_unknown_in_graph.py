"""Unknown objects as they are traced for a file are those of the Inferencer; ID boxes stay."""

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from negas.apis import Inferencer
from negas.export.graph import ExportedDetector, Network
from negas.export.unknown import Shown, UnknownObjects
from negas.export.write import Wanted, build
from negas.models.traced import Selection
from negas.models.unknown import Cells, UnknownFinder
from negas.pictures import read_rgb
from negas.scores import get_score
from negas.text import UNKNOWN_LABEL
from negas.unknown import UnknownOptions
from tests.export.test_export_graph import DETECTORS, FakeTraced, crowd
from tests.helpers.shipped_emoji import draw_scenes

pytestmark = pytest.mark.usefixtures("in_root")
WORDS = ("harpsichord", "tent", "latte", "apricot", "air conditioner", "stew", "cabbage")
SEARCH = dict(vocabulary=WORDS, score_thr=0.1)
CUT, TAU = 0.2, 0.05


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request):
    options = dict(device="cpu", calibration=None, show_progress=False, unknown=SEARCH)
    made = Inferencer(*DETECTORS[request.param], **options)
    made.tau = TAU
    return made


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = draw_scenes(tmp_path_factory.mktemp("scenes"), 6) / "id_val"
    return sorted(map(str, folder.glob("*.*")))


def test_they_are_those_of_the_inferencer_and_id_boxes_stay(detector, pictures):
    module, about = build(detector, Wanted(score_thr=CUT, raw=True))
    plain = ExportedDetector(module.network, module.score, CUT, TAU, raw=True).eval()
    assert module.output_names[: len(plain.output_names)] == plain.output_names
    pixels = np.stack([about.letterbox(read_rgb(path))[0] for path in pictures])
    images, texts = torch.from_numpy(pixels), module.network.traced.texts()
    with torch.no_grad():
        found = module(images, *texts, torch.tensor([[0, 0, 160, 160, 160, 160.0]]))
        for mine, without in zip(found, plain(images, *texts), strict=False):
            assert torch.equal(mine, without)
    rows = dict(zip(module.output_names, found, strict=True))
    count = 0
    for i, path in enumerate(pictures):
        (theirs,) = detector(path, pred_score_thr=CUT)["predictions"]
        theirs = theirs[theirs.labels == UNKNOWN_LABEL]
        mask = rows["object_mask"][i]
        ours = {key: rows[f"object_{key}"][i, mask] for key in ("boxes", "scores", "like")}
        assert [WORDS[j] for j in ours["like"]] == theirs.unknown_like.tolist()
        np.testing.assert_allclose(ours["boxes"].clip(0, 160), theirs.boxes, atol=1e-3)
        np.testing.assert_allclose(ours["scores"], theirs.confidence, atol=1e-5)
        like = rows["object_like_score"][i, mask]
        np.testing.assert_allclose(like, theirs.unknown_like_score, atol=1e-5)
        count += len(theirs)
    assert count > 4
    # what ID boxes hide is there, too, and says by which confidence it is hidden
    hidden = (rows["object_like"] >= 0) & ~rows["object_mask"]
    assert (rows["object_under"][hidden] >= CUT).all()
    assert (rows["object_under"][rows["object_mask"]] < CUT).all()


class FakeWords(FakeTraced):
    """Two more logits of a place are those of words."""

    def __init__(self, boxes, logits, selection, words, options, agreement=None, clips=False):
        super().__init__(boxes, logits, selection)
        self.words, self.given = words, agreement
        self.clips = clips
        self.detector.encode_words = lambda names: torch.zeros(len(names))
        self.detector.finder = UnknownFinder(options, ("cat",))

    def texts(self):
        return ()

    def cells(self, images, texts):
        return self.boxes, self.logits, torch.cat([self.logits.flip(-1), self.words], -1)

    def word_logits(self, regions, cells):
        return regions[..., -2:]

    def agreement(self, boxes):
        return self.given


# offset, scaled and own sides: a picture that fills half of the input, enlarged
PLACE = torch.tensor([[0, 8, 64, 48, 32, 24.0]])


@pytest.mark.parametrize("clips", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        dict(),
        dict(share=0.6, agreement_weight=0.0),
        dict(max_per_img=3),
        dict(min_size=7.0, nms=0.2),
        dict(id_score_thr=0.05, id_overlap=0.8),
        dict(id_score_thr=0.0, id_overlap=0.9),
    ],
)
def test_rows_are_those_that_the_finder_picks(changes, clips):
    boxes, logits = crowd()
    rng = torch.Generator().manual_seed(8)
    words = torch.randn(2, 60, 2, generator=rng) * 4
    agreement = 1 - torch.rand(2, 60, generator=rng) / 8
    given = dict(vocabulary=("kite", "lamp"), score_thr=0.01, id_score_thr=0.95) | changes
    options = UnknownOptions(**given)
    chosen = Selection(0.02, 0.4, False, True, 1000, 300)
    traced = FakeWords(boxes, logits, chosen, words, options, agreement, clips)
    network = Network(traced, [0.0], [1.0], False)
    module = ExportedDetector(network, get_score("negs"), 0.7, 0.0, seeks=True)
    found = module(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), PLACE)
    found = dict(zip(module.output_names, found, strict=True))
    plain = ExportedDetector(network, get_score("negs"), 0.0, None)
    shown = plain(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    assert not {"object_mask"} & set(plain.output_names) and len(shown) < len(found)
    total = 0
    for i in range(2):
        own = (boxes[i] - torch.tensor([0, 8, 0, 8.0])) / 2
        limit = torch.tensor([32, 24, 32, 24.0])
        cells, _, scores = module._rows(boxes, logits, 0.02)
        rows = scores[i] > 0.02
        kept = InstanceData(
            bboxes=torch.minimum(own[cells[i, rows]].clamp(min=0), limit), scores=scores[i, rows]
        )
        theirs, _ = traced.detector.finder(
            Cells(
                bboxes=torch.minimum(own.clamp(min=0), limit) if clips else own,
                id_logits=logits[i],
                size=(24, 32),
                kept=kept,
                word_logits=lambda inds, _, i=i: words[i, inds],
                embed=None,
                agreement=agreement[i],
            ),
            lambda names: names,
            False,
        )
        mask = found["object_mask"][i]
        assert found["object_like"][i][mask].tolist() == theirs.words.tolist()
        torch.testing.assert_close(found["object_scores"][i][mask], theirs.scores)
        torch.testing.assert_close(found["object_like_score"][i][mask], theirs.word_scores)
        ours = (found["object_boxes"][i][mask] - torch.tensor([0, 8, 0, 8.0])) / 2
        torch.testing.assert_close(torch.minimum(ours.clamp(min=0), limit), theirs.bboxes)
        total += len(theirs)
    assert total > 2


def test_words_that_are_left_out_find_nothing():
    boxes, logits = crowd()
    words = torch.randn(2, 60, 2, generator=torch.Generator().manual_seed(8)) * 2
    options = UnknownOptions(vocabulary=("kite", "lamp"), score_thr=0.01)
    chosen = Selection(0.02, 0.4, False, True, 1000, 300)
    objects = UnknownObjects(FakeWords(boxes, logits, chosen, words, options))
    nothing = Shown(torch.zeros(2, 1, dtype=torch.long), torch.full((2, 1), -1.0))
    given = (boxes, logits, torch.cat([logits, words], -1), nothing, PLACE)
    for used in (None, [True, True], [True, False], [False, False]):
        found = objects(*given, None if used is None else torch.tensor(used))
        mask, like = found[1], found[3]
        expected = {i for i in (0, 1) if used is None or used[i]}
        assert set(like[mask].tolist()) == expected


def test_a_file_without_is_made_where_none_are_sought():
    options = dict(device="cpu", calibration=None, show_progress=False, unknown=False)
    module, about = build(Inferencer(*DETECTORS["yolo_world"], **options), Wanted())
    assert about.unknown is None and not any("object" in name for name in module.output_names)

"""Words on the built-in detector: one run of the network, then verdicts at any threshold."""

import socket

import numpy as np
import pytest

from negas.app.bench import Bench
from negas.app.start import check_port, open_bench
from negas.app.uploads import MAX_SIDE, read_frame, read_upload
from negas.cli import load_config
from negas.evaluation.cuts import deployed_tau
from negas.pictures import read_rgb
from tests.helpers.shipped_emoji import CONFIG, WEIGHTS, draw_scenes
from tests.helpers.yolo_world import ROOT

pytestmark = pytest.mark.usefixtures("in_root")
WORDS = ("harpsichord", "tent", "latte", "apricot", "air conditioner", "stew", "cabbage")
VALIDATION = 4


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return draw_scenes(tmp_path_factory.mktemp("scenes"), VALIDATION)


@pytest.fixture(scope="module")
def bench(scenes) -> Bench:
    cfg = load_config(CONFIG)
    loader = cfg.test_cfg.id_val_dataloader
    loader.dataset.data_root = f"{scenes}/"
    return open_bench(
        cfg, str(WEIGHTS), scenes, device="cpu", unknown=dict(vocabulary=WORDS), num=VALIDATION
    )


@pytest.fixture
def pixels(scenes):
    return np.asarray(read_rgb(sorted((scenes / "id_val").glob("*.png"))[1]))


@pytest.fixture
def runs(bench, monkeypatch):
    """How often the network has run."""
    count, step = [], bench.inferencer.model.test_step

    def counted(data):
        count.append(1)
        return step(data)

    monkeypatch.setattr(bench.inferencer.model, "test_step", counted)
    return count


def test_the_network_runs_once_for_all_thresholds(bench, pixels, runs):
    look = bench.look(pixels, bench.classes, bench.negatives, unknown=True)
    assert len(look.results) and look.tau is not None
    shown = [look.at(tau, thr) for tau in (-1, 0, 0.5, None) for thr in (0.05, 0.5, 0.99)]
    assert len(runs) == 1
    inferencer = bench.inferencer
    for tau, thr, found in zip(
        np.repeat([-1.0, 0.0, 0.5], 3).tolist(), [0.05, 0.5, 0.99] * 3, shown, strict=False
    ):
        inferencer.set_labels(unknown=dict(vocabulary=WORDS, score_thr=thr))
        inferencer.tau = tau
        (again,) = inferencer(np.ascontiguousarray(pixels[..., ::-1]))["predictions"]
        order = np.argsort(-found.id_score[found.labels >= 0], kind="stable")
        mine, theirs = found[found.labels >= 0][order], again[again.labels >= 0]
        theirs = theirs[np.argsort(-theirs.id_score, kind="stable")]
        assert mine.known.tolist() == theirs.known.tolist()
        assert np.allclose(mine.boxes, theirs.boxes, atol=1e-3)
        objects = [each[each.labels < 0] for each in (found, again)]
        assert np.allclose(objects[0].boxes, objects[1].boxes, atol=1e-3)
        assert objects[0].unknown_like.tolist() == objects[1].unknown_like.tolist()
    bench._current = ()  # other labels than the bench knows of


def test_without_a_calibration_tau_keeps_95_percent_of_id_validation(bench, pixels):
    look = bench.look(pixels, bench.classes, bench.negatives)
    assert len(look.id_scores) > 5 and (np.diff(look.id_scores) >= 0).all()
    assert look.tau == deployed_tau(look.id_scores, 0.95)
    assert "95%" in look.tau_from and look.unknown_thr is None
    own = look.results.id_score[look.results.labels >= 0]
    assert np.abs(look.id_scores[:, None] - own).min(0).max() < 1e-4  # it is one of these images


def test_other_negatives_score_id_validation_without_its_images(bench, pixels, runs):
    before = bench.look(pixels, bench.classes, bench.negatives)
    after = bench.look(pixels, bench.classes, ["truck", "moon"])
    assert len(runs) == 2 and len(after.id_scores) == len(before.id_scores)
    assert not np.allclose(after.id_scores, before.id_scores)
    assert set(after.results.unknown_like) <= {"truck", "moon"}
    own = after.results.id_score[after.results.labels >= 0]
    assert np.abs(after.id_scores[:, None] - own).min(0).max() < 1e-4
    without = bench.look(pixels, bench.classes, [])
    assert set(without.results.unknown_like) == {None} and len(without.id_scores)


def test_other_id_names_have_no_tau(bench, pixels):
    look = bench.look(pixels, ["thing", "beast"], ["moon"])
    assert look.tau is None and look.id_scores is None and "move the slider" in look.tau_from
    assert set(look.at(None).known.tolist()) <= {None}
    again = bench.look(pixels, bench.classes, bench.negatives)
    assert again.tau is not None


def test_grounding_dino_scores_id_validation_with_other_negatives(scenes, pixels):
    cfg = load_config("configs/negas/stock_grounding-dino-tiny_emoji-world.py")
    cfg.test_cfg.id_val_dataloader.dataset.data_root = f"{scenes}/"
    weights = str(ROOT / "data/emoji_world/grounding_dino_tiny.safetensors")
    bench = open_bench(cfg, weights, scenes, device="cpu", unknown=False, num=2)
    assert not bench.seeks
    look = bench.look(pixels, bench.classes, ["truck", "moon"], unknown=True)
    assert look.unknown_thr is None and len(look.id_scores)
    own = look.results.id_score[look.results.labels >= 0]
    assert len(own) and np.abs(look.id_scores[:, None] - own).min(0).max() < 1e-3


def test_scenes_are_drawn_where_there_are_none(tmp_path):
    cfg = load_config(CONFIG)
    cfg.test_cfg.id_val_dataloader.dataset.data_root = "nowhere/"
    bench = open_bench(cfg, str(WEIGHTS), tmp_path, device="cpu", unknown=False, num=2)
    assert len(list((tmp_path / "id_val").glob("*.png"))) == 2
    records = bench.validation.records
    assert len(records) and set(records.images.tolist()) == {1, 2}


def test_a_port_that_is_taken_is_told_at_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ValueError, match=r"cannot be listened on .*--port"):
            check_port("127.0.0.1", taken.getsockname()[1])
    check_port("127.0.0.1", 0)
    with pytest.raises(ValueError, match="nowhere.invalid"):
        check_port("nowhere.invalid", 0)


def test_words_that_the_detector_refuses_leave_it_as_it_is(bench, pixels):
    before = bench.look(pixels, bench.classes, bench.negatives)
    with pytest.raises(ValueError, match="dog"):
        bench.look(pixels, ["dog", "cat"], ["moon", "dog"])
    after = bench.look(pixels, bench.classes, bench.negatives)
    assert np.array_equal(before.results.id_score, after.results.id_score)


def test_text_embeddings_are_there_for_proposals(bench):
    names, words = bench.text_feats(["dog", "cat"], ["moon", "tent", "kite"])
    assert len(names) == 2 and len(words) == 3 and names.shape[1] == words.shape[1]


def test_uploads_are_looked_at_before_they_are_decoded(tmp_path):
    for path, says in ((None, "no picture"), (tmp_path / "none.png", "cannot be read")):
        with pytest.raises(ValueError, match=says):
            read_upload(path)
    bad = tmp_path / "secret_folder.png"
    bad.write_bytes(b"no picture")
    with pytest.raises(ValueError, match="cannot be read") as told:
        read_upload(bad)
    assert str(tmp_path) not in str(told.value)
    from PIL import Image

    Image.new("L", (MAX_SIDE + 1, 2)).save(tmp_path / "wide.png")
    with pytest.raises(ValueError, match=f"{MAX_SIDE + 1}x2 pixels"):
        read_upload(tmp_path / "wide.png")
    assert read_upload(ROOT / "docs/images/attention.webp").shape[-1] == 3


def test_a_frame_of_a_video(tmp_path):
    import cv2

    path = tmp_path / "clip.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    for value in (0, 100, 200):
        video.write(np.full((48, 64, 3), (value, 0, 0), np.uint8))  # blue
    video.release()
    frame = read_frame(path, 2)
    assert frame.shape == (48, 64, 3) and abs(int(frame[20, 20, 2]) - 200) < 12
    for given, says in ((None, "no video"), (path, "no frame 3")):
        with pytest.raises(ValueError, match=says):
            read_frame(given, 3)

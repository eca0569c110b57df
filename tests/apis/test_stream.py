"""Results one by one: nothing is read ahead of the batch, nothing is kept behind it."""

import weakref

import cv2
import numpy as np
import pytest
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from negas.apis import Inferencer
from negas.apis.inputs import Picture, pictures
from negas.predictions import Results
from tests.helpers.shipped_emoji import CONFIG, WEIGHTS, draw_scenes
from tests.helpers.yolo_world import ROOT

FRAMES = 2000


@pytest.fixture(scope="module")
def judge():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        yield Inferencer(CONFIG, WEIGHTS, "cpu", calibration=None, show_progress=False)


@pytest.fixture
def blind(judge, monkeypatch):
    """The detector finds nothing, at once; the pipeline takes pixels as they are."""

    def detect(batch, threshold):
        samples = []
        for picture, _ in batch:
            sample = DetDataSample()
            empty = np.zeros(0)
            sample.pred_instances = InstanceData(bboxes=empty, labels=empty, scores=empty)
            samples.append((picture, sample))
        return samples

    monkeypatch.setattr(judge, "_detect", detect)
    monkeypatch.setattr(judge, "pipeline", lambda pixels: dict(inputs=pixels))
    return judge


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "long.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for i in range(FRAMES):
        writer.write(np.full((48, 64, 3), i % 256, np.uint8))
    writer.release()
    return path


@pytest.fixture
def alive(monkeypatch):
    """Pictures that were made and are still there."""
    made, living = [], weakref.WeakSet()

    class Watched(Picture):
        __hash__ = object.__hash__

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self.frame)
            living.add(self)

    monkeypatch.setattr(pictures, "Picture", Watched)
    return made, living


@pytest.mark.slow
def test_a_long_video_is_judged_in_constant_memory(blind, video, alive):
    made, living = alive
    stream = blind(video, batch_size=4, stream=True)
    assert made == [], "nothing is read before the first is asked for"
    most, count = 0, 0
    for found in stream:
        assert isinstance(found, Results) and found.frame == count and found.size == (64, 48)
        count += 1
        assert count <= len(made) <= count + 4
        most = max(most, len(living))
    assert count == len(made) == FRAMES
    assert most <= 9, "two batches, and the frame that is being given"


def test_who_stops_early_reads_no_more(blind, alive, monkeypatch):
    made, _ = alive
    stream = blind([np.zeros((8, 8, 3), np.uint8)] * FRAMES, batch_size=4, stream=True)
    assert made == []
    for _ in range(3):
        next(stream)
    stream.close()
    assert len(made) <= 5


def test_a_stream_gives_what_a_call_gives(judge, tmp_path, monkeypatch):
    folder = draw_scenes(tmp_path, 5) / "id_val"
    (folder / "broken.png").write_bytes(b"no picture")
    said = []
    monkeypatch.setattr("negas.apis.inferencer.print_log", lambda text, _: said.append(text))
    whole = judge(str(folder), batch_size=2)
    found = list(judge(str(folder), batch_size=2, stream=True))
    assert [one.record() for one in found] == [one.record() for one in whole["predictions"]]
    assert any("broken.png: OpenCV cannot decode it" in text for text in said)
    with pytest.raises(ValueError, match="no input can be read"):
        list(judge(str(folder / "broken.png"), stream=True))


@pytest.mark.parametrize("more", [dict(out_dir="out"), dict(return_vis=True)])
def test_a_stream_writes_nothing(judge, more):
    with pytest.raises(ValueError, match="stream gives Results and writes nothing"):
        judge(np.zeros((9, 9, 3), np.uint8), stream=True, **more)


def test_a_camera_is_a_stream(blind, monkeypatch):
    class Camera:
        def __init__(self, source):
            pass

        def get(self, _):
            return 30.0

        def read(self):
            return True, np.zeros((8, 8, 3), np.uint8)

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    stream = blind(0, stream=True)
    assert [next(stream).frame for _ in range(3)] == [0, 1, 2]
    for source in (0, "rtsp://host/stream"):
        with pytest.raises(ValueError, match="has no end, .* give stream=True"):
            blind(source)

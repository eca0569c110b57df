"""Checks of data before the work: what is refused, what is let through and said."""

import json

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

import negas.register  # noqa: F401
from negas.datasets import coco_check
from negas.experiments import preflight
from tests.helpers.tiny_coco import write_set

NAMES = ["cat", "dog"]


@pytest.fixture
def said(monkeypatch):
    """What is logged."""
    lines = []
    for module in (preflight, coco_check):
        monkeypatch.setattr(module, "print_log", lambda text, *_: lines.append(text))
    return lines


def config(root, kind="mmdet.CocoDataset", **changes):
    dataset = dict(
        type=kind, data_root=str(root), ann_file="a.json", data_prefix=dict(img="img/"), pipeline=[]
    )
    dataset |= dict(metainfo=dict(classes=NAMES)) | changes
    return Config(dict(model=dict(type="x"), train_dataloader=dict(dataset=dataset)))


def check(cfg):
    preflight.check_data(cfg, ("train_dataloader",))


@pytest.fixture
def data(tmp_path):
    write_set(tmp_path / "a.json", tmp_path / "img", NAMES, count=6)
    return tmp_path


def images(data):
    return sorted((data / "img").iterdir())


def test_sound_data_pass_in_silence(data, said):
    check(config(data))
    assert said == []


def first(key, **changes):
    return lambda data: data[key][0].update(changes)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: d.update(images=["a.jpg"]), "no list 'images' of objects"),
        (lambda d: d["images"].append(d["images"][0] | dict(id=9)), "listed twice.* and 9,"),
        (first("images", width=None), "has the width None"),
        (first("images", height=float("nan")), "it holds NaN, near .*height"),
        (lambda d: d["annotations"][0].pop("area"), "area=None, expected a number"),
        (lambda d: d.update(annotations=[]), "no annotation of its classes"),
    ],
)
def test_an_unsound_json_is_refused(data, spoil, message):
    content = json.loads((data / "a.json").read_text())
    spoil(content)
    (data / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        check(config(data))
    assert str(data / "a.json") in str(caught.value) and "train_dataloader" in str(caught.value)


def test_the_crowd_flag_is_needed_only_where_it_is_read(data, said):
    content = json.loads((data / "a.json").read_text())
    content["annotations"][0].pop("iscrowd")
    (data / "a.json").write_text(json.dumps(content))
    cfg = config(data)
    check(cfg)
    cfg.val_dataloader = cfg.train_dataloader
    with pytest.raises(ValueError, match="val_dataloader.*iscrowd=None"):
        preflight.check_data(cfg, ("val_dataloader",))


def test_boxes_that_are_not_seen_are_counted(data, said):
    content = json.loads((data / "a.json").read_text())
    content["annotations"][0]["bbox"] = [4, 4, 0, 9]
    content["annotations"][1]["bbox"] = [500, 4, 9, 9]
    (data / "a.json").write_text(json.dumps(content))
    check(config(data))
    assert len(said) == 1 and "2 boxes have no size or lie outside" in said[0]


@pytest.mark.parametrize(
    "kind", ["mmdet.XMLDataset", "mmdet.VOCDataset", "mmdet.CrowdHumanDataset"]
)
def test_datasets_of_other_formats_are_let_through(data, said, kind):
    (data / "list.txt").write_text("000001\n")
    check(config(data, kind, ann_file="list.txt"))
    assert len(said) == 1 and kind in said[0] and "not checked" in said[0]


def test_remote_data_are_let_through(said):
    check(config("s3://bucket/coco/"))
    assert len(said) == 1 and "not checked" in said[0]


def test_images_without_file_name_are_let_through(data, said):
    content = json.loads((data / "a.json").read_text())
    for image in content["images"]:
        image["coco_url"] = f"http://images/{image.pop('file_name')}"
    (data / "a.json").write_text(json.dumps(content))
    check(config(data))
    assert len(said) == 1 and "no file_name" in said[0]


def test_readable_jpegs_without_end_mark_at_their_end_are_named_and_used(data, said):
    """Phones append films to photographs; the mark is then far from the end."""
    first, second, *_ = images(data)
    for image in (first, second):
        image.write_bytes(image.read_bytes() + bytes(10_000))
    check(config(data))
    assert len(said) == 1
    assert "2 JPEG files do not end with an end mark" in said[0] and str(first) in said[0]


@pytest.mark.parametrize("readable", [True, False])
def test_the_decoder_decides_about_jpegs_without_end_mark(data, said, monkeypatch, readable):
    """Some OpenCV builds read them, others do not; what the pipeline cannot read is an error."""
    image = images(data)[0]
    image.write_bytes(image.read_bytes().removesuffix(b"\xff\xd9"))
    decoded = np.zeros((72, 96, 3), np.uint8) if readable else None
    monkeypatch.setattr(coco_check.mmcv, "imfrombytes", lambda content: decoded)
    if readable:
        check(config(data))
        assert len(said) == 1 and str(image) in said[0]
    else:
        with pytest.raises(ValueError, match=f"{image.name}.* cannot be read"):
            check(config(data))


@pytest.mark.parametrize("rest", [0, 3, 30])
def test_jpegs_that_cannot_be_decoded_are_refused(data, rest):
    image = images(data)[-1]
    image.write_bytes(image.read_bytes()[:rest])
    with pytest.raises(ValueError, match=f"{image.name}.* cannot be read"):
        check(config(data))


def test_a_jpeg_whose_header_alone_is_left_is_refused(data):
    """The size can be read, but no pixel: the decoder has the last word."""
    image = images(data)[0]
    whole = image.read_bytes()
    image.write_bytes(whole[: whole.index(b"\xff\xda")])  # start of scan
    with Image.open(image) as header:
        assert header.size == (96, 72)
    with pytest.raises(ValueError, match=f"{image.name}.* cannot be read"):
        check(config(data))


def test_truncated_pngs_are_refused(data):
    image = images(data)[0]
    pixels = np.random.default_rng(0).integers(0, 256, (72, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(image, format="PNG")
    check(config(data))
    image.write_bytes(image.read_bytes()[:-20])
    with pytest.raises(ValueError, match="cannot be read"):
        check(config(data))


# --- several processes ----------------------------------------------------------------------------
def as_process(monkeypatch, rank, others):
    """This process is ``rank`` of two; the other one has come to ``others``."""
    monkeypatch.setattr(coco_check, "get_rank", lambda: rank)
    monkeypatch.setattr(coco_check, "get_world_size", lambda: 2)
    pair = (lambda mine: [mine, others]) if rank == 0 else (lambda mine: [others, mine])
    monkeypatch.setattr(preflight, "all_gather_object", pair)


@pytest.mark.parametrize("rank", [0, 1])
def test_each_process_looks_at_its_share(data, said, monkeypatch, rank):
    key = "train_dataloader.dataset"
    looked = []
    look = coco_check._look_at
    monkeypatch.setattr(coco_check, "_look_at", lambda path: looked.append(path) or look(path))
    images(data)[rank].write_bytes(images(data)[rank].read_bytes() + bytes(10_000))
    as_process(monkeypatch, rank, (None, {key: ["other.jpg"]}))
    check(config(data))
    assert looked == images(data)[rank::2]
    assert len(said) == 1 and "2 JPEG files" in said[0], "what the other process found counts"


def test_an_error_of_another_process_ends_this_one(data, monkeypatch):
    as_process(monkeypatch, 0, (FileNotFoundError("image 7 does not exist"), {}))
    with pytest.raises(FileNotFoundError, match="image 7"):
        check(config(data))

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
    preflight.check_data(cfg, ("val_dataloader",))
    cfg.val_evaluator = dict(type="mmdet.CocoMetric")
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
    look = coco_check.picture_size
    monkeypatch.setattr(coco_check, "picture_size", lambda path: looked.append(path) or look(path))
    images(data)[rank].write_bytes(images(data)[rank].read_bytes() + bytes(10_000))
    as_process(monkeypatch, rank, (None, {key: {coco_check.WITHOUT_END: ["other.jpg"]}}))
    check(config(data))
    assert looked == images(data)[rank::2]
    assert len(said) == 1 and "2 JPEG files" in said[0], "what the other process found counts"


def test_an_error_of_another_process_ends_this_one(data, monkeypatch):
    as_process(monkeypatch, 0, (FileNotFoundError("image 7 does not exist"), {}))
    with pytest.raises(FileNotFoundError, match="image 7"):
        check(config(data))


# --- what would count wrongly -------------------------------------------------------------------
def change(data, spoil, name="a.json"):
    content = json.loads((data / name).read_text())
    spoil(content)
    (data / name).write_text(json.dumps(content))


def validation(data, evaluator="CocoByNameMetric", kind="CocoByNameDataset", **changes):
    cfg = config(data, kind, test_mode=True)
    loader = dict(dataset=dict(cfg.train_dataloader.dataset) | changes)
    more = dict(val_evaluator=dict(type=evaluator, ann_file=str(data / "a.json")))
    cfg.merge_from_dict(dict(val_dataloader=loader) | more)
    cfg.model.class_names = NAMES
    return cfg


def check_val(cfg):
    preflight.check_data(cfg, ("val_dataloader",))


def test_an_evaluator_reads_the_json_of_its_images(data, said):
    cfg = validation(data)
    check_val(cfg)
    (data / "copy.json").write_bytes((data / "a.json").read_bytes())
    cfg.val_evaluator.ann_file = str(data / "copy.json")
    check_val(cfg)
    change(data, lambda d: d["annotations"].pop(), "copy.json")
    with pytest.raises(ValueError, match=r"val_evaluator\.ann_file=.*copy\.json.*a\.json"):
        check_val(cfg)
    cfg.val_evaluator = [dict(type="SomeMetric"), cfg.val_evaluator]
    with pytest.raises(ValueError, match=r"val_evaluator\[1\]\.ann_file"):
        check_val(cfg)
    (data / "copy.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"copy\.json"):
        check_val(cfg)


@pytest.mark.parametrize(
    ("wrap", "words"),
    [
        (lambda one: dict(type="ConcatDataset", datasets=[one, one]), "dataset: ConcatDataset"),
        (lambda one: dict(type="RepeatDataset", times=2, dataset=one), "dataset: RepeatDataset"),
        (lambda one: dict(one, indices=2), "indices leaves images out"),
        (
            lambda one: dict(one, test_mode=False, filter_cfg=dict(min_size=9)),
            "filter_cfg leaves images out",
        ),
        (lambda one: dict(one, ann_file=["a.json"]), "ann_file must be one path"),
    ],
)
def test_what_is_evaluated_is_one_json_read_whole(data, said, wrap, words):
    cfg = validation(data)
    whole = dict(cfg.val_dataloader.dataset)
    cfg.val_dataloader.dataset = wrap(whole)
    with pytest.raises(ValueError, match=f"^val_dataloader.*{words}"):
        check_val(cfg)
    ood = dict(test_dataloader=dict(dataset=whole), test_evaluator=dict(type="OODMetric"))
    loop = dict(ood_dataloaders=dict(near=dict(dataset=wrap(whole))))
    cfg.merge_from_dict(ood | dict(test_cfg=loop))
    with pytest.raises(ValueError, match=f"ood_dataloaders.near.*{words}"):
        preflight.check_data(cfg, ("test_dataloader",))
    if "path" not in words:  # training may do so
        check(Config(dict(model=dict(), train_dataloader=dict(dataset=wrap(whole)))))


def test_the_last_images_are_not_dropped(data):
    cfg = validation(data)
    cfg.val_dataloader.drop_last = True
    with pytest.raises(ValueError, match="drop_last leaves images out"):
        check_val(cfg)


def swap(content):
    content["categories"].reverse()


def test_mmdetections_own_classes_need_the_order_of_the_names(data, said):
    change(data, swap)
    check_val(validation(data))
    with pytest.raises(ValueError, match=r"order.*'cat' there, 'dog' here.*CocoByNameDataset"):
        check_val(validation(data, kind="mmdet.CocoDataset"))
    with pytest.raises(ValueError, match="order.*CocoByNameMetric"):
        check_val(validation(data, "mmdet.CocoMetric"))
    cfg = validation(data, "mmdet.CocoMetric", "mmdet.CocoDataset")
    cfg.model.pop("class_names")  # a detector that has no names: the json's order is its own
    check_val(cfg)


def test_mmdetections_metric_and_annotations_that_it_cannot_match(data, said):
    change(data, lambda d: d["annotations"][0].update(id=0))
    check_val(validation(data))
    with pytest.raises(ValueError, match="id 0.*CocoByNameMetric"):
        check_val(validation(data, "mmdet.CocoMetric"))


def test_images_of_another_size_are_counted(data, said):
    turned = Image.new("RGB", (72, 96))
    exif = turned.getexif()
    exif[0x0112] = 6  # stands upright only after a turn: 96 x 72, as the json says
    turned.save(images(data)[0], exif=exif)
    check(config(data))
    assert said == []
    turned.save(images(data)[0])
    check(config(data))
    assert len(said) == 1 and "1 images have another size" in said[0]
    assert str(images(data)[0]) in said[0] and "72 x 96" in said[0] and "96 x 72" in said[0]


def test_class_lists_that_differ_far_behind(data):
    names = [f"c{i}" for i in range(9)]
    cfg = config(data, metainfo=dict(classes=names))
    cfg.model.class_names = [*names[:8], "z"]
    with pytest.raises(ValueError, match="number 9 is 'z' there, 'c8' here"):
        check(cfg)
    cfg.train_dataloader.dataset.metainfo = dict(classes=5)
    with pytest.raises(ValueError, match=r"metainfo\.classes must be"):
        check(cfg)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(ann_file=""), "train_dataloader.dataset.ann_file is ''"),
        (dict(ann_file=None), "train_dataloader.dataset.ann_file is None"),
    ],
)
def test_what_a_data_set_cannot_do_without(data, change, words):
    with pytest.raises(ValueError, match=words):
        check(config(data, **change))


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (dict(min_size=32), True),
        (dict(min_size=4000), False),
        (dict(filter_empty_gt=True), True),
        (dict(filter_empty_gt=True, min_size=4000), False),
        (dict(filter_empty_gt=False, min_size=0), True),
    ],
)
def test_a_filter_that_leaves_nothing_is_refused(data, said, given, left):
    cfg = config(data, filter_cfg=given)
    if left:
        check(cfg)
        return
    says = r"train_dataloader.dataset.filter_cfg=.* leaves none of the 6 images"
    with pytest.raises(ValueError, match=says):
        check(cfg)
    check(config(data, filter_cfg=given, test_mode=True))


def test_a_bank_that_is_missing_is_named_with_its_key():
    cfg = Config(dict(model=dict(type="x", class_names=NAMES, neg_labels="nowhere.json")))
    with pytest.raises(FileNotFoundError, match=r"^model.neg_labels: nowhere.json: no such"):
        preflight.check_bank(cfg)

"""Registered COCO-style dataset for EmojiWorld's ID and OOD sets."""

from mmengine.registry import DATASETS

from negas.datasets.coco_by_name import CocoByNameDataset

ID_NAMES = (
    "person",
    "bird",
    "cat",
    "cow",
    "dog",
    "horse",
    "sheep",
    "airplane",
    "bicycle",
    "boat",
    "bus",
    "car",
    "motorcycle",
    "train",
    "bottle",
    "chair",
    "potted plant",
    "couch",
    "tv",
)
# A colour wheel in steps of the golden angle: neighbours in label order look different.
PALETTE = [
    (220, 20, 60),
    (20, 120, 220),
    (90, 200, 60),
    (170, 60, 220),
    (240, 180, 20),
    (20, 200, 190),
    (240, 90, 160),
    (110, 110, 30),
    (60, 60, 200),
    (250, 120, 40),
    (20, 150, 90),
    (190, 120, 220),
    (140, 70, 30),
    (90, 170, 230),
    (200, 210, 60),
    (120, 20, 90),
    (40, 90, 60),
    (250, 150, 140),
    (100, 110, 130),
]


@DATASETS.register_module()
class EmojiWorldDataset(CocoByNameDataset):
    """EmojiWorld in COCO format with the 19 ID classes.

    Serves the ID splits and, with `test_mode=True`, the OOD sets: their annotations belong to other
    categories and are left out, and every image is kept.
    """

    METAINFO = {"classes": ID_NAMES, "palette": PALETTE, "dataset_type": "EmojiWorld"}

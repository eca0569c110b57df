"""Labels, sets and features of an image-level OOD run.

Shape letters: N images, K ID labels, M negative labels, D channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from negas.embeddings.encoders import Encoder, unit_features
from negas.embeddings.images import ImageItem
from negas.embeddings.store import encode_images
from negas.embeddings.templates import RAW_MEAN
from negas.image_level.image_sets import ImageSet, read_coco, read_folder, read_list
from negas.image_level.interneg import ModalityInversion
from negas.image_level.tanl import noise_images
from negas.labels.bank import NegativeLabelBank
from negas.labels.names import read_names, read_ood_names
from negas.labels.prototypes import draw_per_class
from negas.labels.selection.interneg import image_proxies

from .options import ImageOodOptions, SetSpec


@dataclass(frozen=True)
class SetFeatures:
    """A set and its features; images that cannot be read are in neither.

    Attributes:
        name: in tables.
        group: near, far or ``None``.
        items: the N images or crops.
        feats: [N, D] unit rows.
        source: where they come from.
        class_names: of the OOD classes, empty where they are not known.
        left_out: what could not be read, one sentence with the path each.
    """

    name: str
    group: str | None
    items: list[ImageItem]
    feats: Tensor
    source: dict[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    left_out: list[str] = field(default_factory=list)


def load_labels(options: ImageOodOptions) -> tuple[tuple[str, ...], NegativeLabelBank]:
    """ID class names in the order of the labels of lists, and the bank.

    Raises:
        FileNotFoundError: no such bank or list of names.
        ValueError: the bank was made for other classes, or a negative is an ID label.
    """
    if options.classes is None:
        bank = NegativeLabelBank.load(options.bank)
        return bank.id_labels, bank
    source = options.classes if isinstance(options.classes, str) else list(options.classes)
    names = read_names(source, "classes")
    return names, NegativeLabelBank.load(options.bank, names)


def load_set(
    spec: SetSpec, options: ImageOodOptions, id_names: Sequence[str], is_id: bool
) -> ImageSet:
    """The images or crops of one set.

    Raises:
        FileNotFoundError: a file or folder does not exist.
        ValueError: malformed files, or an empty set.
    """
    if spec.folder:
        found = read_folder(spec.name, spec.folder, id_names if spec.name == "train" else None)
    elif spec.list:
        found = read_list(spec.name, spec.list, spec.root)
    else:
        view = options.view
        if spec.name == "train" and view == "detected_crops":
            view = "gt_crops"  # proxies are of objects whose class is known
        found = read_coco(
            spec.name,
            spec.ann_file,
            spec.img_dir,
            id_names,
            is_id,
            view,
            spec.detections,
            options.min_score,
            options.min_size,
        )
    if spec.names and not is_id:
        names = tuple(names[0] for names in read_ood_names(spec.names))
        found = ImageSet(found.name, found.items, found.source, names)
    return found


def encode(
    encoder: Encoder, images: ImageSet, group: str | None, cache_dir: str, width: int
) -> SetFeatures:
    """Features of a set, checked against the width of the texts.

    Raises:
        ValueError: no image can be read, or cached features are damaged or of another encoder.
    """
    try:
        found = encode_images(encoder, images.items, cache_dir)
    except ValueError as error:
        raise ValueError(f"the set {images.name!r}: {error}") from error
    try:
        feats = unit_features(f"features of the set {images.name!r}", found.feats, width)
    except ValueError as error:
        raise ValueError(f"{error} They are cached in {cache_dir!r}; delete it.") from error
    return SetFeatures(
        images.name,
        group,
        [images.items[i] for i in found.index.tolist()],
        feats,
        images.source,
        images.class_names,
        list(found.broken.values()),
    )


def check_labels(images: ImageSet, id_names: Sequence[str]) -> None:
    """Refuse labels of a list that are no place among the ID classes.

    Raises:
        ValueError: there is one.
    """
    label = max((label for item in images.items for label in item.labels), default=-1)
    if label >= len(id_names):
        raise ValueError(
            f"the set {images.name!r} has the label {label} for {len(id_names)} ID classes; give "
            f"the class names in the order of the labels."
        )


def training_items(
    images: ImageSet, id_names: Sequence[str], per_class: int, seed: int
) -> list[list[ImageItem]]:
    """Some training images of each class, drawn at random; the same for the same seed.

    Raises:
        ValueError: a class has no image, or a label is out of range.
    """
    check_labels(images, id_names)
    by_class: list[list[ImageItem]] = [[] for _ in id_names]
    for item in images.items:
        for label in item.labels:
            by_class[label].append(item)
    empty = [name for name, items in zip(id_names, by_class, strict=True) if not items]
    if empty:
        raise ValueError(
            f"the set 'train' shows no image of the class {empty[0]!r}"
            + (f" (nor of {len(empty) - 1} others)" if len(empty) > 1 else "")
            + "; image proxies need some of each class."
        )
    return draw_per_class(by_class, per_class, seed)


class Features:
    """What an encoder says of labels, training images and noise, each computed once.

    Args:
        encoder: from ``build_encoder``.
        class_names: the K ID labels.
        neg_labels: the M negatives.
        train: ID training images, or ``None``.
        options: of the run.
    """

    def __init__(
        self,
        encoder: Encoder,
        class_names: Sequence[str],
        neg_labels: Sequence[str],
        train: ImageSet | None,
        options: ImageOodOptions,
    ) -> None:
        self.encoder, self.class_names, self.neg_labels = encoder, class_names, neg_labels
        self._train, self._options = train, options
        self.labels = cache(self._labels)
        self.proxies = cache(self._proxies)
        self.noise = cache(self._noise)

    def sentences(self, texts: list[str]) -> Tensor:
        """Texts as they are; what is too long is cut, since a model may have written them."""
        return self.encoder.text(texts, truncate=True, progress=False)

    def inversion(self, **options: Any) -> ModalityInversion:
        """Modality inversion through the encoder's text side."""
        return ModalityInversion.of_encoder(self.encoder, **options)

    def _labels(self, template: str) -> tuple[Tensor, Tensor]:
        texts = [*self.class_names, *self.neg_labels]
        feats = self.encoder.text(texts, template, normalize_each=template not in RAW_MEAN)
        return feats[: len(self.class_names)], feats[len(self.class_names) :]

    def _proxies(self, seed: int) -> Tensor:
        groups = training_items(self._train, self.class_names, self._options.images_per_class, seed)
        flat = sorted(
            {item for items in groups for item in items}, key=lambda i: (i.path, str(i.box))
        )
        found = encode_images(self.encoder, flat, Path(self._options.cache))
        row = {flat[place]: i for i, place in enumerate(found.index.tolist())}
        kept = [[row[item] for item in items if item in row] for items in groups]
        empty = next((n for n, rows in zip(self.class_names, kept, strict=True) if not rows), None)
        if empty is not None:
            raise ValueError(f"none of the training images drawn for {empty!r} can be read.")
        return torch.from_numpy(image_proxies([found.feats[rows] for rows in kept]))

    def _noise(self, seed: int) -> Tensor:
        return self.encoder.images(noise_images(seed=seed), progress=False)

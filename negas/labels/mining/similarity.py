"""Second stage of a mining run: embeddings of names and images, and who is close to whom.

Shapes: C candidates, K ID labels, D channels.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from negas.files import file_sha256
from negas.files.npz import read_npz, write_npz
from negas.labels.text_vectors import TextVectors

from .candidates import CandidateSet
from .options import MiningOptions
from .stages import Stage, digest, files_digest

_ROWS = 4096  # candidates whose cosines are held at once
_TEMPLATES = {"visual": "clip", "neglabel": "neglabel", "csp": "csp", "interneg": "openood"}


@dataclass(frozen=True)
class Features:
    """L2-normalised float32 embeddings.

    Attributes:
        candidates: [C, D] texts.
        id_labels: [K, D] texts.
        prototypes: [K, D] mean image embeddings of the ID classes, or None.
    """

    candidates: np.ndarray
    id_labels: np.ndarray
    prototypes: np.ndarray | None


def embed(
    options: MiningOptions, found: CandidateSet, notify: Callable[[str], None]
) -> tuple[Features, Stage]:
    """Run the second stage, or read what an earlier run left of it.

    ``similarities.npz`` holds the embeddings, ``similarities.json`` the nearest ID label and the
    nearest class prototype of every candidate, as cosines.

    Raises:
        ValueError: the encoder cannot be loaded, or annotations or images are unusable.
        FileNotFoundError: an image is missing.
    """
    stage = similarity_stage(options, found, notify)
    path = stage.path.with_suffix(".npz")
    stored = stage.load()
    features = _read(path, stored.get("array sha256")) if stored else None
    if features is None:
        features = _compute(options, found, stage.path.parent)
        _write(path, features)
        rows = list(_rows(features, found.names, options.class_names))
        stage.save(**{"array sha256": file_sha256(path), "similarities": rows})
    shutil.rmtree(options.work_dir / "features", ignore_errors=True)  # all of it is in the npz
    return features, stage


def similarity_stage(
    options: MiningOptions, found: CandidateSet, notify: Callable[[str], None]
) -> Stage:
    """The file of the second stage, with everything that the embeddings depend on."""
    noun, adjective = templates(options)
    inputs: dict[str, Any] = {"stand ins": options.stand_in_names} if options.stand_ins else {}
    inputs |= {
        "candidates": digest([found.names, found.parts]),
        "classes": list(options.class_names),
        "encoder": [str(options.encoder), files_digest(options.encoder), options.dtype],
        "templates": [list(noun), list(adjective)],
        "prototypes": None,
    }
    if options.needs_images:
        inputs["prototypes"] = {
            "annotations": [str(options.ann_file), files_digest(options.ann_file)],
            "images": str(options.img_dir),
            "max per class": options.max_per_class,
            "seed": options.seed,
        }
    return Stage(options.work_dir, "similarities", inputs, notify)


def templates(options: MiningOptions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sentences around nouns and ID labels, and around adjectives."""
    from negas.embeddings.templates import TEMPLATES, resolve_templates

    name = options.template or _TEMPLATES.get(options.select, "clip")
    adjective = f"{name}-adjective"
    return resolve_templates(name), resolve_templates(adjective if adjective in TEMPLATES else name)


def with_vectors(options: MiningOptions, found: CandidateSet) -> CandidateSet:
    """The candidates that a file of text vectors holds; all of them with an encoder.

    Raises:
        ValueError: it cannot be read, or holds none of them.
    """
    if not options.has_text_vectors:
        return found
    vectors = TextVectors.load(options.encoder)
    kept = [i for i, name in enumerate(found.names) if name in vectors]
    if not kept:
        raise ValueError(f"{options.encoder}: it has no vector of any candidate")
    parts = None if found.parts is None else [found.parts[i] for i in kept]
    return replace(found, names=[found.names[i] for i in kept], parts=parts)


def _compute(options: MiningOptions, found: CandidateSet, work_dir: Path) -> Features:
    if options.has_text_vectors:
        vectors = TextVectors.load(options.encoder)
        id_labels = vectors.rows(options.class_names, options.stand_in_names)
        return Features(vectors.rows(found.names), id_labels, None)
    from negas.embeddings.cache import fingerprint
    from negas.embeddings.encoders import build_encoder
    from negas.embeddings.store import encode_texts
    from negas.labels.corpus import Corpus, corpus_features
    from negas.labels.prototypes import class_prototypes

    encoder = build_encoder(options.encoder, options.device, options.dtype)
    noun, adjective = templates(options)
    unit = options.select != "csp"  # CSP means embeddings before they are normalised

    def features(words: list[str], sentences: tuple[str, ...]) -> np.ndarray:
        return encode_texts(
            lambda texts: encoder.text(
                texts, list(sentences), truncate=True, normalize_each=unit, progress=False
            ),
            words,
            fingerprint(encoder.fingerprint, tuple(sentences), unit),
            work_dir / "features",
        )

    corpus = Corpus(tuple(found.names), tuple(found.parts or ["noun"] * len(found.names)))
    candidates = corpus_features(corpus, features, {"noun": noun, "adj": adjective})
    id_labels = encoder.text(options.class_names, list(noun), normalize_each=unit).numpy()
    prototypes = None
    if options.needs_images:
        prototypes = class_prototypes(
            options.ann_file,
            options.img_dir,
            options.class_names,
            encoder,
            cache_dir=work_dir / "prototypes",
            max_per_class=options.max_per_class,
            seed=options.seed,
        )
    return Features(candidates, id_labels, prototypes)


def _rows(features: Features, names: list[str], classes: tuple[str, ...]) -> Iterator[dict]:
    """Per candidate the nearest ID label and the nearest prototype, with cosines."""
    for start in range(0, len(names), _ROWS):
        some = features.candidates[start : start + _ROWS]
        text = some @ features.id_labels.T
        image = None if features.prototypes is None else some @ features.prototypes.T
        for i, name in enumerate(names[start : start + _ROWS]):
            row = {"name": name, "nearest": classes[int(text[i].argmax())]}
            row["text cosine"] = round(float(text[i].max()), 4)
            if image is not None:
                row["looks like"] = classes[int(image[i].argmax())]
                row["image cosine"] = round(float(image[i].max()), 4)
            yield row


def _write(path: Path, features: Features) -> None:
    arrays = {"candidates": features.candidates, "id_labels": features.id_labels}
    if features.prototypes is not None:
        arrays["prototypes"] = features.prototypes
    write_npz(path, arrays)


def _read(path: Path, sha256: str | None) -> Features | None:
    """The stored arrays, or None if they are lost, damaged or of another run."""
    if not path.is_file() or file_sha256(path) != sha256:
        return None
    data = read_npz(path)
    return Features(data["candidates"], data["id_labels"], data.get("prototypes"))

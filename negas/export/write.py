"""A detector as one file."""

from __future__ import annotations

import copy
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from negas import __version__
from negas.apis.calibration import Calibration, identity, scored, words_digest
from negas.apis.inferencer import Inferencer
from negas.apis.unknown import finds_unknown
from negas.files import file_sha256, whole_file
from negas.models.freeze import fuse_norms
from negas.models.traced import Traced
from negas.runtime.metadata import Metadata
from negas.runtime.words import Words

from .graph import ExportedDetector, Network
from .operators import translation
from .pictures import letterbox_of, normalization, stride_of

OPSET = 20  # the first whose GridSample is of today's form
TEXT_INPUTS = ("id_embeddings", "neg_embeddings")


@dataclass(frozen=True)
class Wanted:
    """What a file shall be.

    Attributes:
        mode: ``baked`` or ``open``, see :class:`~negas.runtime.Metadata`.
        score_thr: least confidence of a row; ``None``: calibrated, or 0.3.
        size: width and height of the input; ``None``: the pipeline's.
        raw: give logits, too.
    """

    mode: str = "baked"
    score_thr: float | None = None
    size: tuple[int, int] | None = None
    raw: bool = False


class Bound(nn.Module):
    """A network whose texts are part of it.

    Args:
        network: takes images and texts.
        texts: of it.
    """

    def __init__(self, network: nn.Module, texts: Sequence[Tensor]) -> None:
        super().__init__()
        self.network = network
        self.names = [f"text_{i}" for i in range(len(texts))]
        for name, text in zip(self.names, texts, strict=True):
            self.register_buffer(name, text)

    def forward(self, images: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        """As of the network."""
        return self.network(images, *(getattr(self, name) for name in self.names), *more)


def build(inferencer: Inferencer, wanted: Wanted) -> tuple[ExportedDetector, Metadata]:
    """The module to be traced and what its file says.

    Raises:
        ValueError: detector, score or pipeline cannot be exported.
    """
    model = inferencer.model
    judge = scored(model)
    baked = wanted.mode == "baked"
    score = judge.score.traced(len(model.neg_labels) if baked else None)
    letterbox = letterbox_of(inferencer.cfg, model, wanted.size)
    if wanted.size is not None and letterbox.size != tuple(wanted.size):
        raise ValueError(
            f"--size {wanted.size[0]} {wanted.size[1]}: both sides must be multiples of "
            f"{stride_of(model)}"
        )
    score_thr = inferencer.threshold if wanted.score_thr is None else wanted.score_thr
    inferencer.hide_from(score_thr)
    # With norms of their own a graph has twice as many nodes, and takes twice as long to write.
    traced = fuse_norms(copy.deepcopy(model).cpu().eval()).traced(letterbox.size)
    if wanted.mode == "open" and not traced.open_texts:
        raise ValueError(
            f"{type(model).__name__} reads its labels as one caption, through layers that also see "
            "the image, so other words need another export; leave out --mode open or --web"
        )
    network = Network(traced, *normalization(model))
    seeks = finds_unknown(model)
    module = ExportedDetector(network, score, score_thr, judge.tau, wanted.raw, seeks).eval()
    about = _metadata(inferencer, letterbox, wanted, score_thr)
    return module, about


def _metadata(inferencer: Inferencer, letterbox: Any, wanted: Wanted, score_thr: float) -> Metadata:
    model, judge = inferencer.model, scored(inferencer.model)
    who = identity(model, inferencer.weights)
    found, bank = inferencer.calibration, inferencer.cfg.model.get("neg_labels")
    calibration = None
    if found is not None and found.tau == judge.tau:
        keys = ("wanted_tpr", "reached_tpr", "counts", "cut")
        calibration = {key: value for key, value in asdict(found).items() if key in keys}
        calibration |= _named(inferencer.calibration_file) or {}
        calibration["source"] = _source_of(found)
    return Metadata(
        version=__version__,
        detector=type(model).__name__,
        mode=wanted.mode,
        class_names=tuple(model.class_names),
        neg_labels=tuple(model.neg_labels),
        template=model.template if model.prompt is None else model.prompt.template,
        score=judge.score_name,
        score_options=who["score_options"],
        score_thr=score_thr,
        tau=judge.tau,
        calibration=calibration,
        letterbox=letterbox,
        weights_sha256=who["checkpoint_sha256"],
        base_sha256=who["base_sha256"],
        bank_sha256=file_sha256(bank) if isinstance(bank, str) else None,
        unknown=_unknown(inferencer, score_thr) if finds_unknown(model) else None,
    )


def _source_of(calibration: Calibration) -> dict[str, Any]:
    """On what it was fitted, without the folders of this machine."""
    given = calibration.source
    return {key: _named(given.get(key)) for key in ("ann_file", "records", "bank")} | {
        "cut_rule": given.get("cut_rule")
    }


def _named(path: str | os.PathLike | None) -> dict[str, str | None] | None:
    """A file's name and SHA-256, which is ``None`` if it is not there any more."""
    if path is None:
        return None
    return dict(file=Path(path).name, sha256=file_sha256(path) if Path(path).is_file() else None)


def _unknown(inferencer: Inferencer, score_thr: float) -> dict[str, Any]:
    """How unknown objects are found."""
    finder, found = inferencer.model.finder, inferencer.calibration
    about = finder.options.record()
    for key in ("vocabulary", "without_ood", "record_cells"):  # the words tell; and of tests
        del about[key]
    if inferencer.hide_from(score_thr):
        about["id_score_thr"] = None
    section = found.unknown if found is not None else None
    about["calibrated"] = section is not None and section["score_thr"] == about["score_thr"]
    return about | dict(words=list(finder.words), words_sha256=words_digest(finder.words))


def export_onnx(
    inferencer: Inferencer,
    path: str | os.PathLike,
    wanted: Wanted = Wanted(),
    apart: dict[str, Tensor] | None = None,
) -> Metadata:
    """Write a detector with score, cut and verdict as an ONNX file.

    Inputs: ``images``, uint8 RGB [B, 3, h, w]; in the mode ``open`` also ``id_embeddings`` [K, D]
    and, where the score needs them, ``neg_embeddings`` [M, D], both of the detector's own labels if
    they are not given. With unknown objects also ``places`` [B, 6], by default the whole input,
    and in the mode ``open`` ``words``, bool [V], by default all; see
    :class:`~.unknown.UnknownObjects`. Outputs: see :class:`~.graph.ExportedDetector`.

    Args:
        inferencer: of the detector.
        path: the file.
        wanted: of it.
        apart: filled with the values of inputs that need not be given, by name; the file then lacks
            them, and these inputs must be given, too.

    Returns:
        What the file says about itself.

    Raises:
        ValueError: the detector cannot be exported; see :func:`build`.
        ImportError: packages of the extra ``export`` are missing.
        OSError: the file cannot be written.
    """
    import onnx

    module, about = build(inferencer, wanted)
    texts = module.network.traced.texts()
    images = _example(about)
    batch = torch.export.Dim("batch", min=1)
    names, traced, given, shapes = ["images"], module, [], []
    # inputs with values of their own, which need not be given: the detector's labels, whole input
    defaults: dict[str, Tensor] = {}
    if about.mode == "open":
        defaults |= zip(TEXT_INPUTS, texts, strict=False)
        given += texts
        shapes += [{0: torch.export.Dim(name, min=1)} for name in ("K", "M")[: len(texts)]]
    else:
        traced = Bound(module, texts).eval()
    if about.unknown is not None:
        whole = torch.tensor([[0, 0, *about.letterbox.size * 2]], dtype=torch.float32)
        defaults["places"] = whole
        given.append(whole.repeat(2, 1))
        shapes.append({0: torch.export.Dim("places", min=1)})
        if about.mode == "open":
            defaults["words"] = torch.ones(len(about.unknown["words"]), dtype=torch.bool)
            given.append(defaults["words"])
            shapes.append({})
    names += defaults
    with torch.no_grad(), quiet():
        program = torch.onnx.export(
            traced,
            (images, *given),
            dynamo=True,
            input_names=names,
            output_names=list(module.output_names),
            dynamic_shapes=({0: batch}, tuple(shapes)) if shapes else ({0: batch},),
            opset_version=OPSET,
            custom_translation_table=translation(),
            verbose=False,
        )
    model = program.model_proto
    if apart is None:
        for name, value in defaults.items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(value.numpy(), name))
    else:
        apart.update(defaults)
    onnx.helper.set_model_props(model, about.props())
    onnx.checker.check_model(model)
    _save(model, path)
    if about.mode == "open":
        _export_words(module.network.traced, Path(path))
    return about


def _export_words(traced: Traced, path: Path) -> None:
    """The text encoder and its tokenizer, beside a file of the mode ``open``."""
    from transformers import AutoTokenizer

    words = traced.text_encoder().eval()
    tokenizer = AutoTokenizer.from_pretrained(words.tokenizer, use_fast=True)
    ids = torch.zeros(2, words.length, dtype=torch.int64)
    count = {0: torch.export.Dim("n", min=1)}
    with torch.no_grad(), quiet():
        program = torch.onnx.export(
            words,
            (ids, torch.ones_like(ids)),
            dynamo=True,
            input_names=["input_ids", "attention_mask"],
            output_names=["embeddings"],
            dynamic_shapes=(count, count),
            opset_version=OPSET,
            verbose=False,
        )
    encoder, vocabulary = Words.files(path)
    _save(program.model_proto, encoder)
    with whole_file(vocabulary) as partial:
        tokenizer.backend_tokenizer.save(str(partial))


def export_pt2(
    inferencer: Inferencer, path: str | os.PathLike, wanted: Wanted = Wanted()
) -> Metadata:
    """Write a detector's network as a ``.pt2`` of ``torch.export``, which ends before NMS.

    Input and labels as in :func:`export_onnx`; outputs: boxes [B, N, 4], ID logits [B, N, K] and
    negative logits [B, N, M] of all places. It finds no unknown objects. What the file says about
    itself is its extra file ``negas.json``.

    Raises:
        ValueError: as there.
        OSError: the file cannot be written.
    """
    module, about = build(inferencer, wanted)
    about = replace(about, unknown=None)
    network = Bound(module.network, module.network.traced.texts()).eval()
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    with torch.no_grad(), quiet():
        program = torch.export.export(network, (_example(about),), dynamic_shapes=shapes)
    held = io.BytesIO()
    torch.export.save(program, held, extra_files={"negas.json": json.dumps(about.props())})
    with whole_file(path) as partial:
        partial.write_bytes(held.getvalue())
    return about


def _save(model: Any, path: str | os.PathLike) -> None:
    """Write an ONNX model without what the exporter notes of the code and its place here."""
    import onnx

    graph = model.graph
    for part in (graph.node, graph.input, graph.output, graph.value_info, graph.initializer):
        for one in part:
            one.ClearField("metadata_props")
            one.ClearField("doc_string")
    graph.ClearField("metadata_props")
    model.producer_name, model.producer_version = "negas", __version__
    with whole_file(path) as partial:
        onnx.save(model, partial)


def _example(about: Metadata) -> Tensor:
    """Two images: of one, exporters would take the batch's size for a constant."""
    width, height = about.letterbox.size
    return torch.zeros(2, 3, height, width, dtype=torch.uint8)


@contextmanager
def quiet() -> Iterator[None]:
    """Without what exporters say about themselves."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)

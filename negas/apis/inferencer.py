"""Known or unknown: verdicts for your own images, in the manner of MMDetection's inferencer."""

from __future__ import annotations

import negas.register  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
import copy
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import numpy as np
import torch
from mmdet.apis import DetInferencer
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from tqdm import tqdm

from negas.cli import load_config
from negas.experiments.config_check import check_config
from negas.experiments.preflight import (
    check_bank,
    check_checkpoint,
    check_device,
    check_test_pipeline,
)
from negas.files import check_folder, own_inputs
from negas.files.locks import locked
from negas.labels.names import read_names
from negas.models.base import detector_class
from negas.models.interface import OODDetector, UnfitImageError
from negas.models.unknown import own_test_cfg
from negas.options import check_number
from negas.predictions import Results
from negas.predictions.file import PredictionsFile
from negas.shipped import point_at_shipped
from negas.text import shown
from negas.visualization.visualizer import VerdictVisualizer
from negas.weights.by_name import local_weights, named_detector

from .calibration import Calibration, default_path, identity, scored, words_digest
from .inputs import Input, Picture, Pictures
from .outputs import Journal, Painted
from .samples import as_sample, name_negatives, results_of
from .unknown import UnknownSearch, Wanted, finds_unknown

UNCALIBRATED_CUT = 0.3  # what MMDetection's inferencer draws from
_AS_BEFORE = "as before"


@dataclass(frozen=True)
class _Choice:
    """What hangs on the labels of an Inferencer.

    Attributes:
        relabelled: whether they were given at run time.
        calibration: that may be theirs, or ``None``.
        where: what to call it in errors.
        optional: whether it may be of other labels, and is then not used.
        search: for unknown objects.
        path: of the calibration, if it is a file.
    """

    relabelled: bool
    calibration: Calibration | None
    where: str
    optional: bool
    search: UnknownSearch
    path: Path | None = None


def _log_unreadable(pictures: Pictures, told: int) -> int:
    """Log what could not be read since the last time; returns how much that is in all."""
    for found in pictures.unreadable[told:]:
        print_log(f"left out: {found['path']}: {found['reason']}", "current")
    return len(pictures.unreadable)


def no_verdict(model: OODDetector) -> str:
    """Why boxes have no verdict and what to do, for people."""
    if model.postprocessor is None:
        return f"{type(model).__name__} gives no OOD score"
    if not model.postprocessor.is_ready:
        return (
            f"the score {model.postprocessor.score_name!r} is fitted on ID boxes, and there is no "
            "calibration of these labels; fit one with negas calibrate"
        )
    return (
        "there is no calibration of these labels, so boxes come by falling score; fit one with "
        "negas calibrate (and the same --classes and --negatives), or choose a tau"
    )


class Inferencer(DetInferencer):
    """Detections of images, folders, arrays and videos, each with its OOD score and verdict.

    Unknown objects, which a word of a vocabulary names better than every ID name, come beside them.

    >>> inferencer = Inferencer(config, checkpoint)  # doctest: +SKIP
    >>> (results,) = inferencer("street.jpg", out_dir="out")["predictions"]  # doctest: +SKIP
    >>> results.known  # doctest: +SKIP

    Args:
        model: config, its file, or the name of a shipped one; alone ``emoji-world``, the built-in
            detector, or the name of a released one, see ``negas download --list``.
        weights: checkpoint (``.pth`` or ``.safetensors``), or the name of released weights: they
            are fetched into ``checkpoints/`` if they are not there, and that is said. ``None``:
            those of the detector that ``model`` names.
        device: e.g. ``cuda:0``; ``None``: an accelerator if there is one.
        classes: ID names in place of the config's, or a file of them.
        negatives: negative words in place of the config's, a text file of them, or a bank
            (``.json``); empty: score without negatives.
        calibration: a file of ``negas calibrate``; ``auto``: the one beside the checkpoint, if
            there is one; ``None``: none, boxes have no verdict unless the config sets a tau.
        palette: as in MMDetection's inferencer; colours of boxes without a verdict.
        show_progress: show a bar.
        unknown: ``None``: seek unknown objects if config or calibration say so and a threshold is
            known; ``False``: none; ``True``: in any case; a vocabulary (name, file or words); or
            fields of :class:`~negas.unknown.UnknownOptions` in place of the config's, ``score_thr``
            being the calibrated one and ``id_score_thr`` the least confidence of a detection unless
            given. Words that are not named here are the calibration's, else the config's or shipped
            ones.

    Raises:
        FileNotFoundError: config, checkpoint, bank, vocabulary or calibration do not exist.
        ConnectionError: released weights cannot be fetched.
        ValueError: labels are not sound, the calibration was fitted for another detector, config
            or device cannot be used, or unknown objects were asked for and cannot be found: no
            threshold, a vocabulary that is unreadable or names ID classes only.
        RuntimeError: the checkpoint does not fit the config.
    """

    def __init__(
        self,
        model: str | os.PathLike | Config,
        weights: str | os.PathLike | None = None,
        device: str | None = None,
        classes: Sequence[str] | str | None = None,
        negatives: Sequence[str] | str | None = None,
        calibration: str | os.PathLike | Calibration | None = "auto",
        palette: str = "none",
        show_progress: bool = True,
        unknown: Wanted = None,
    ) -> None:
        given = isinstance(model, str | os.PathLike)
        if weights is None:
            if not given:
                raise ValueError("weights are missing; give a checkpoint beside the config")
            model, weights = named_detector(model)
        weights = local_weights(weights)
        if given:
            cfg = load_config(str(model))
        else:
            cfg = copy.deepcopy(model)
            point_at_shipped(cfg._cfg_dict)
        check_config(cfg)
        check_checkpoint(weights)
        check_test_pipeline(cfg)
        check_device(device)
        self._model_of_config, self._wanted = copy.deepcopy(cfg.model), unknown
        self.weights = weights
        self._told = False
        self._choice = choice = self._choose(cfg, classes, negatives, calibration, unknown)
        cfg.visualizer = dict(type=VerdictVisualizer)
        super().__init__(cfg, weights, device=device, palette=palette, show_progress=show_progress)
        steps = cfg.test_dataloader.dataset.pipeline
        decoders = [step["imdecode_backend"] for step in steps if "imdecode_backend" in step]
        self.decoder: str | None = decoders[0] if decoders else None
        self.calibration: Calibration | None = None
        self._calibrate(choice)

    def set_labels(
        self,
        classes: Sequence[str] | str | None = None,
        negatives: Sequence[str] | str | None = None,
        calibration: str | os.PathLike | Calibration | None = "auto",
        unknown: Wanted = _AS_BEFORE,
    ) -> None:
        """Other labels for the same detector, whose weights are not loaded again.

        A tau that was set goes: it was of the labels before.

        Args:
            classes: as of the class; ``None``: the config's.
            negatives: as of the class; ``None``: the config's.
            calibration: as of the class; ``auto``: one of these labels beside the checkpoint.
            unknown: as of the class; ``as before``: what was asked for last.

        Raises:
            ValueError: as of the class; the labels before stay.
            FileNotFoundError: as of the class; the labels before stay.
        """
        cfg = copy.deepcopy(self.cfg)
        cfg.model = copy.deepcopy(self._model_of_config)
        wanted = self._wanted if isinstance(unknown, str) and unknown == _AS_BEFORE else unknown
        choice = self._choose(cfg, classes, negatives, calibration, wanted)
        model, mine = self.model, ("cfg", "calibration", "_choice", "_told", "_wanted")
        parts = ("class_names", "neg_labels", "postprocessor", "finder", "relabelled")
        before = {key: getattr(model, key) for key in parts}
        own = {key: getattr(self, key) for key in mine}
        try:
            model.relabel(cfg.model)
            with torch.no_grad():
                model.text_feats()  # what cannot be encoded shows now
            self.cfg, self._choice, self._told, self.calibration = cfg, choice, False, None
            self._wanted = wanted
            self._calibrate(choice)
        except BaseException:
            vars(model).update(before)
            vars(self).update(own)
            model.forget_texts()
            raise
        self._name_classes(model)
        self.visualizer.dataset_meta = model.dataset_meta

    @property
    def tau(self) -> float | None:
        """A box is known iff its score is at least this; ``None``: no verdict. Can be set.

        Raises:
            ValueError: when set: it is no finite number, or the detector gives no OOD score.
        """
        judge = self.model.postprocessor
        return judge.tau if judge else None

    @tau.setter
    def tau(self, value: float | None) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
            raise ValueError(f"tau must be a number or None, got {shown(value)}")
        if value is not None:
            check_number("tau", value)
            if not scored(self.model).is_ready:
                raise ValueError(f"tau cannot be set: {no_verdict(self.model)}")
        scored(self.model).tau = None if value is None else float(value)

    # --- construction -------------------------------------------------------------------------
    def _choose(
        self,
        cfg: Config,
        classes: Sequence[str] | str | None,
        negatives: Sequence[str] | str | None,
        source: str | os.PathLike | Calibration | None,
        wanted: Wanted,
    ) -> _Choice:
        """Put labels into a config and find the calibration that may be theirs."""
        detector_class(cfg.model).set_labels(cfg.model, classes, negatives)
        relabelled = classes is not None or negatives is not None
        found, path, optional = self._find(source, cfg.model if relabelled else None)
        where = "the calibration" if path is None else f"calibration {str(path)!r}"
        names = read_names(cfg.model.get("class_names") or (), "model.class_names")
        search = UnknownSearch(wanted, cfg.model, names, found, where, source is not None)
        check_bank(cfg)
        own_test_cfg(cfg.model).update(keep_logits=True, keep_embeddings=False, keep_cells=False)
        return _Choice(relabelled, found, where, optional, search, path)

    def _load_weights_to_model(self, model: OODDetector, checkpoint: dict, cfg: Config) -> None:
        # Based on DetInferencer's; names come from the model, not from the checkpoint or COCO, and
        # the detector itself refuses weights that do not fit.
        model.relabelled = self._choice.relabelled
        model.load_state_dict(checkpoint["state_dict"], strict=False)
        self._name_classes(model)

    def _name_classes(self, model: OODDetector) -> None:
        palette = "random" if self.palette == "none" else self.palette
        model.dataset_meta = dict(classes=tuple(model.class_names), palette=palette)

    def _init_collate(self, cfg: Config) -> Callable:
        return pseudo_collate

    def _find(
        self, source: str | os.PathLike | Calibration | None, labels: ConfigDict | None
    ) -> tuple[Calibration | None, Path | None, bool]:
        """A calibration, if there is one, its file, and whether it may not fit.

        Labels given at run time are a choice, while the file of the config's labels lies there.
        """
        if isinstance(source, Calibration):
            return source, None, False
        path, optional = source, False
        if source == "auto":
            path = default_path(self.weights, labels)
            if labels is not None and not path.is_file():
                path, optional = default_path(self.weights), True
            if not path.is_file():
                return None, None, False
        if path is None:
            return None, None, False
        return Calibration.load(path), Path(path), optional

    def _calibrate(self, choice: _Choice) -> None:
        """Check and apply a calibration, and what it says about unknown objects."""
        found = choice.calibration
        try:
            if found is not None:
                found.check(identity(self.model, self.weights), choice.where)
        except ValueError as error:
            if not choice.optional:
                raise
            print_log(f"not used: {error}", "current")
            found = None
        if found is not None:
            self.calibration = found
            judge = self.model.postprocessor
            judge.tau = found.tau
            if found.state is not None:
                judge.score = judge.score.with_state(found.state.tensors)
        choice.search.apply(self.model, self.calibration)

    # --- inference ----------------------------------------------------------------------------
    @own_inputs()
    def __call__(
        self,
        inputs: Input | Sequence[Input],
        batch_size: int = 1,
        return_vis: bool = False,
        show: bool = False,
        wait_time: float = 0,
        no_save_vis: bool = False,
        pred_score_thr: float | None = None,
        return_datasamples: bool = False,
        print_result: bool = False,
        no_save_pred: bool = False,
        out_dir: str | os.PathLike = "",
        resume: bool = False,
        stream: bool = False,
    ) -> dict | Iterator[Results]:
        """Detect and judge.

        Args:
            inputs: image, video, folder of both or pattern of their names; http(s) address of an
                image; array ``[H, W(, C)]`` or ``[B, H, W, C]`` in OpenCV's order, tensor ``[(B,)
                C, H, W]`` or Pillow image in RGB (uint8, uint16 or floats in [0, 1]); a list of
                these; or, with ``stream``, the number of a camera or an RTSP address.
            batch_size: pictures at once, as far as they have the same size for the network.
            return_vis: return painted pictures, RGB.
            show: show each in a window.
            wait_time: seconds it is shown; 0: until a key is pressed.
            no_save_vis: do not write painted pictures to ``<out_dir>/vis``.
            pred_score_thr: least confidence of a detection; ``None``: the calibration's cut, or 0.3
                without one. A verdict is calibrated for boxes over the cut only.
            return_datasamples: predictions as data samples.
            print_result: print predictions.
            no_save_pred: do not write ``<out_dir>/predictions.json``.
            out_dir: where to write; empty: nowhere. Predictions are appended to
                ``predictions.jsonl`` there as they are made, until ``predictions.json`` is written.
            resume: go on with the ``predictions.jsonl`` of a run that was stopped.
            stream: give the :class:`~negas.predictions.Results` one by one as they are made, in
                constant memory; nothing is written. What cannot be read is logged.

        Returns:
            ``predictions``: the :class:`~negas.predictions.Results` of each readable picture (each
            frame of a video). A box has one label. Without a tau boxes come by falling score.
            Unknown objects follow, with :func:`negas.unknown.unknown_scores` as confidence; data
            samples keep them apart, as ``unknown_instances``.
            ``visualization``: painted pictures.
            ``unreadable``: ``dict(path, reason)`` of inputs that were left out.
            With ``stream`` an iterator of Results.

        Raises:
            FileNotFoundError: the input does not exist.
            ValueError: an empty folder, nothing could be read, or what ``resume`` finds was made
                with other weights, labels or settings.
            FileExistsError: something in ``out_dir`` would be written onto an input.
            BlockingIOError: another process judges pictures into ``out_dir``.
            OSError: ``out_dir`` cannot be written.
        """
        check_number("batch_size", batch_size, ge=1)
        if pred_score_thr is not None:
            check_number("pred_score_thr", pred_score_thr, ge=0, le=1)
        if resume and (return_datasamples or return_vis or no_save_pred or not str(out_dir)):
            raise ValueError("resume needs out_dir, and returns plain predictions only")
        pictures = Pictures.of(inputs)
        pictures.decoder = self.decoder
        threshold = self.threshold if pred_score_thr is None else pred_score_thr
        self.hide_from(threshold)
        self._tell_no_verdict()
        if stream:
            if str(out_dir) or return_vis or return_datasamples or print_result:
                raise ValueError("stream gives Results and writes nothing; leave the others out")
            return self._stream(pictures, batch_size, threshold, show, wait_time)
        if pictures.is_live:
            raise ValueError(
                "a camera or stream has no end, so its results would fill the memory; give "
                "stream=True (in Python) and take them one by one"
            )
        folder = check_folder(out_dir, "--out-dir") if str(out_dir) else None
        finds = finds_unknown(self.model)
        coco = PredictionsFile(self.model.class_names, self._info(threshold), unknown=finds)
        results = dict(predictions=[], visualization=[], unreadable=pictures.unreadable)
        with self._alone_in(folder):
            painted = Painted(folder, pictures.names()) if folder and not no_save_vis else None
            journal = None
            if folder and not no_save_pred:
                journal = Journal(folder, self._about(threshold), resume)
                pictures.done = journal.done
                for earlier in journal.results:
                    coco.add(earlier)
                    results["predictions"].append(earlier)
            complete = False
            try:
                for picture, sample, found in self._judge(pictures, batch_size, threshold):
                    coco.add(found)
                    results["predictions"].append(sample if return_datasamples else found)
                    if painted or show or return_vis:
                        drawn = self._draw(picture, found, show, wait_time)
                        if painted:
                            painted.add(picture, drawn)
                        if return_vis:
                            results["visualization"].append(drawn)
                    if journal:  # last: what is there was painted, too
                        journal.add(found)
                complete = True
            finally:  # what was done before an interruption is kept
                if painted:
                    painted.close()
                if journal and coco.images:
                    coco.save(folder, complete, pictures.unreadable)
            if journal:
                journal.remove()
        pictures.check_any()
        if print_result:
            print(*results["predictions"], sep="\n")
        return results

    def _stream(
        self, pictures: Pictures, size: int, threshold: float, show: bool, wait_time: float
    ) -> Iterator[Results]:
        """Results as they are made."""
        told = 0
        for picture, _, found in self._judge(pictures, size, threshold):
            if show:
                self._draw(picture, found, show, wait_time)
            yield found
            del picture, found
            told = _log_unreadable(pictures, told)
        _log_unreadable(pictures, told)
        pictures.check_any()

    def _judge(
        self, pictures: Pictures, size: int, threshold: float
    ) -> Iterator[tuple[Picture, DetDataSample, Results]]:
        """Every readable picture with its detections; at most a batch is in memory."""
        for batch in self._batches(pictures, size):
            for picture, sample in self._detect_or_refuse(batch, threshold, pictures):
                yield picture, sample, results_of(sample, picture, self.model.class_names)

    def _tell_no_verdict(self) -> None:
        """Say once per labels that boxes are judged neither known nor unknown."""
        if self.tau is None and not self._told:
            self._told = True
            print_log(f"no verdict: {no_verdict(self.model)}", "current")

    @staticmethod
    def _alone_in(folder: Path | None) -> AbstractContextManager:
        """A block in which no other process judges pictures into the folder."""
        if folder is None:
            return nullcontext()
        return locked(folder / ".infer.lock", f"another run of inference writes to {str(folder)!r}")

    @property
    def calibration_file(self) -> Path | None:
        """Where :attr:`calibration` was read."""
        return None if self.calibration is None else self._choice.path

    @property
    def threshold(self) -> float:
        """Least confidence of a detection."""
        return self.calibration.cut if self.calibration else UNCALIBRATED_CUT

    def _batches(self, pictures: Pictures, size: int) -> Iterator[list[tuple[Picture, dict]]]:
        # disable=None: no bar where standard error is no terminal
        hidden = None if self.show_progress else True
        with tqdm(total=pictures.total, desc="inference", leave=False, disable=hidden) as bar:
            for batch in pictures.batches(self.pipeline, size):
                yield batch
                bar.update(len(batch))

    def _detect_or_refuse(self, batch: list, threshold: float, pictures: Pictures) -> list:
        """Detections; none of pictures whose size (all have the same) the model cannot take."""
        try:
            return self._detect(batch, threshold)
        except UnfitImageError as error:
            pictures.leave_out([picture for picture, _ in batch], str(error))
            return []

    @torch.no_grad()
    def _detect(self, batch: list, threshold: float) -> list[tuple[Picture, DetDataSample]]:
        data = self.collate_fn([prepared for _, prepared in batch])
        found = []
        for (picture, _), sample in zip(batch, self.model.test_step(data), strict=True):
            kept = sample.pred_instances
            # As the protocol compares: float32 scores against the cut in float32.
            keep = kept.scores >= float(np.float32(threshold))
            if "id_logits" in kept:  # multi-label post-processing gives a box several times
                keep &= kept.labels == kept.id_logits.argmax(1)
            kept = kept[keep]
            if self.tau is None and "id_scores" in kept:
                kept = kept[kept.id_scores.argsort(descending=True, stable=True)]
            name_negatives(kept, self.model.neg_labels)
            for extra in ("prior_inds", "query_inds", "id_logits", "neg_logits"):
                kept.pop(extra, None)
            sample.pred_instances = kept
            if "unknown_instances" in sample:
                objects = sample.unknown_instances
                words = self.model.finder.words
                objects.unknown_like = [words[i] for i in objects.words.tolist()]
            sample.set_metainfo(dict(img_path=picture.path))
            found.append((picture, sample.cpu()))
        return found

    def hide_from(self, threshold: float) -> bool:
        """Let ID boxes of this confidence hide unknown objects, unless another one was asked for.

        Returns:
            Whether it is this one.
        """
        return self._choice.search.hide_from(self.model, threshold)

    def judge_pixels(self, pixels: np.ndarray, threshold: float) -> Results:
        """Detections of the network's input as it is, which no pipeline touches.

        Args:
            pixels: [3, h, w], uint8, RGB.
            threshold: least confidence.
        """
        self.hide_from(threshold)
        image = np.ascontiguousarray(pixels[::-1])  # pipelines end in OpenCV's order
        size = image.shape[1:]
        about = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0), img_id=0)
        sample = DetDataSample(metainfo=about)
        picture = Picture("input", image.transpose(1, 2, 0))
        prepared = dict(inputs=torch.from_numpy(image), data_samples=sample)
        ((_, found),) = self._detect([(picture, prepared)], threshold)
        return results_of(found, picture, self.model.class_names)

    def _draw(self, picture: Picture, results: Results, show: bool, wait_time: float) -> np.ndarray:
        """The painted picture [h, w, 3], RGB."""
        self.visualizer.add_datasample(
            picture.name,
            np.ascontiguousarray(picture.pixels[..., ::-1]),
            as_sample(results, self.tau is not None, finds_unknown(self.model)),
            draw_gt=False,
            show=show,
            wait_time=wait_time,
            pred_score_thr=-1,  # the cut is made already
        )
        return self.visualizer.drawn

    def _about(self, threshold: float) -> dict:
        """What predictions depend on besides the pictures."""
        settings = {key: self.cfg.get(key) for key in ("model", "test_dataloader", "test_cfg")}
        digest = hashlib.sha256(repr(settings).encode("utf-8", "backslashreplace")).hexdigest()
        return identity(self.model, self.weights) | dict(
            config=digest,
            confidence_cut=threshold,
            tau=self.tau,
            search_for_unknown_objects=self._sought(),
        )

    def _sought(self) -> dict | None:
        """How unknown objects are found; ``None``: not at all."""
        if not finds_unknown(self.model):
            return None
        finder = self.model.finder
        about = dict(words=len(finder.words), words_sha256=words_digest(finder.words))
        return finder.options.record() | dict(vocabulary=about)

    def _info(self, threshold: float) -> dict:
        """What stands in ``predictions.json`` beside the boxes."""
        judge = self.model.postprocessor
        return dict(
            checkpoint=Path(self.weights).name,
            confidence_cut=threshold,
            tau=self.tau,
            score=judge.score_name if judge else None,
            calibrated=self.calibration is not None and self.calibration.tau == self.tau,
            neg_labels=list(self.model.neg_labels),
            unknown=self._sought(),
        )

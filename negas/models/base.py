"""What all detectors of negas share, and how one is found in a run or a config."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.model import is_model_wrapper
from mmengine.registry import MODELS
from torch import Tensor, nn

from negas.embeddings.prompt import PromptLearner
from negas.labels.names import read_names, refuse_repeated
from negas.shipped import find

from .checkpoint import fit_state_dict, load_base_weights
from .interface import OODDetector
from .postprocess import OODPostProcessor
from .traced import Traced
from .unknown import Cells, UnknownFinder

T = TypeVar("T")


def untraced(compute: Callable[[], T]) -> T:
    """What ``compute`` gives, a constant to ``torch.jit`` if that traces (as ``get_flops`` does).

    Texts are the same for all images, and transformers' encoders cannot be traced.
    """
    if not torch.jit.is_tracing():
        return compute()
    with ThreadPoolExecutor(1) as other:  # a trace is of one thread
        return other.submit(torch.no_grad()(compute)).result()


class BaseDetector:
    """Answers of a detector without negatives; put it before the MMDetection class.

    What it leaves open of :class:`~negas.models.interface.OODDetector` is ``template``,
    ``text_feats``, ``bank_feats`` and ``attention``.

    Args:
        class_names: ID labels, in the order of the dataset's classes; or a JSON/text file of them.
        base_checkpoint: full weights (``.pth`` or ``.safetensors``) loaded when a run starts, and
            under a checkpoint that holds only trained parameters.
        *args, **kwargs: of the MMDetection class.
    """

    takes_negatives = False
    neg_labels: tuple[str, ...] = ()
    token_reduce: str | None = None
    use_nega = False
    postprocessor: OODPostProcessor | None = None
    base_sha256: str | None = None
    relabelled = False
    finder: UnknownFinder | None = None
    unknown_defaults: ClassVar[dict[str, float]] = {}  # of UnknownFinder

    def __init__(
        self,
        *args,
        class_names: Sequence[str] | str = (),
        base_checkpoint: str | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.base_checkpoint = base_checkpoint
        self.prompt: PromptLearner | None = None  # not of the class: it would hide a module
        self._take_names(class_names, kwargs.get("test_cfg"))

    def _take_names(self, source: Sequence[str] | str, test_cfg: Mapping[str, Any] | None) -> None:
        self.class_names = read_names(source, "class_names")
        settings = (test_cfg or {}).get("unknown")
        self.finder = None
        if settings:
            self.finder = UnknownFinder.of(settings, self.class_names, self.unknown_defaults)

    @property
    def text_options(self) -> dict[str, object]:
        """Options of texts and scores beside the template."""
        return {}

    @property
    def needs_embeddings(self) -> bool:
        """Whether boxes carry their embedding: to be kept, or because the score reads it."""
        judge = self.postprocessor
        scored = judge is not None and judge.score.needs_embeddings
        return scored or bool(self.bbox_head.test_cfg.get("keep_embeddings"))

    # --- weights ------------------------------------------------------------------------------
    def init_weights(self) -> None:
        """Initialise layers, then load ``base_checkpoint`` if there is one."""
        super().init_weights()
        self.base_sha256 = None  # what was loaded before is gone
        self.load_base()

    def load_base(self) -> None:
        """Load ``base_checkpoint`` once.

        Raises:
            RuntimeError: if its names or shapes are not this model's.
        """
        if self.base_checkpoint and self.base_sha256 is None:
            self.base_sha256 = load_base_weights(self, find(self.base_checkpoint))

    def forget_texts(self) -> None:
        """Called after weights were loaded: cached embeddings may be of other text weights."""
        if self.finder is not None:
            self.finder.forget()

    def train(self, mode: bool = True) -> nn.Module:
        """Switch the detector; training changes weights that encoded words hang on."""
        if mode and self.finder is not None:
            self.finder.forget()
        return super().train(mode)

    def score_head(self) -> dict[str, Tensor]:
        """Tensors that were trained for scores; see the interface."""
        return {}

    def optional_keys(self) -> tuple[str, ...]:
        """Prefixes of parameters that a checkpoint may lack as a whole."""
        return ()

    def traced(self, size: tuple[int, int]) -> Traced:
        """The network for exporters; see the interface."""
        raise ValueError(f"{type(self).__name__} has no form of tensors alone to be exported")

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, local_metadata: dict, *args, **kwargs
    ) -> None:
        # MMEngine loads with strict=False and merely logs what is missing: a detector with half
        # its weights random would run and report AP 0. Check here, where every loader passes.
        fit_state_dict(self, state_dict, prefix, local_metadata or {})
        self.forget_texts()
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args, **kwargs)

    # --- batches ------------------------------------------------------------------------------
    def test_step(self, data: dict) -> list:
        """MMEngine's, for pictures of one size at a time; see :func:`by_size`."""
        return by_size(super().test_step, data)

    def val_step(self, data: dict) -> list:
        """MMEngine's, for pictures of one size at a time; see :func:`by_size`."""
        return by_size(super().val_step, data)

    # --- unknown objects ----------------------------------------------------------------------
    def add_unknown(self, samples: Sequence[DetDataSample], cells: Sequence[Cells]) -> None:
        """Give predictions their ``unknown_instances``, and ``unknown_cells`` if they are kept."""
        if self.finder is None:
            return
        keep = bool(self.bbox_head.test_cfg.get("keep_cells"))
        for sample, each in zip(samples, cells, strict=True):
            # as ID and negative logits, which half precision would round to a few hundredths
            with torch.autocast(each.id_logits.device.type, enabled=False):
                found, kept = self.finder(each, self.encode_words, keep)
            if found is not None:
                sample.unknown_instances = found
            if kept is not None:
                sample.unknown_cells = kept

    # --- labels -------------------------------------------------------------------------------
    @classmethod
    def set_labels(
        cls,
        cfg: ConfigDict,
        classes: Sequence[str] | str | None = None,
        negatives: Sequence[str] | str | None = None,
    ) -> None:
        """Put labels into a config's ``model``; see the interface."""
        if classes is not None:
            cfg.class_names = distinct_names(classes, "classes")
        if negatives is not None:
            raise ValueError(
                f"model.type={cfg.type!r} takes no negative labels; use a config with "
                f"{detector_names(takes_negatives=True)}"
            )

    def relabel(self, cfg: ConfigDict) -> None:
        """Take the labels of a config over; see the interface."""
        self._take_names(cfg.get("class_names") or (), cfg.get("test_cfg"))
        self.relabelled = True
        self.forget_texts()


def by_size(step: Callable[[dict], list], data: dict) -> list:
    """Predictions that do not depend on which pictures share a batch.

    Padding to a common size would reach the norms of Grounding DINO's neck and the border cells of
    any network; so each size is a batch of its own.

    Args:
        step: predictions of a batch of one size.
        data: lists ``inputs`` (tensors [3, h, w]) and ``data_samples``; a stacked batch is left.
    """
    inputs = data.get("inputs") if isinstance(data, Mapping) else None
    sizes = [] if inputs is None or isinstance(inputs, Tensor) else [x.shape for x in inputs]
    if len(set(sizes)) < 2:
        return step(data)
    found: dict[int, Any] = {}
    for size in dict.fromkeys(sizes):
        places = [place for place, other in enumerate(sizes) if other == size]
        part = {key: [values[place] for place in places] for key, values in data.items()}
        found.update(zip(places, step(part), strict=True))
    return [found[place] for place in range(len(sizes))]


def distinct_names(source: Sequence[str] | str, key: str) -> list[str]:
    """Names, or those of a file; at least one, no spelling of one twice.

    Args:
        source: see :func:`~negas.labels.names.read_names`.
        key: what they are, for errors.

    Raises:
        ValueError: they are not sound.
        FileNotFoundError: the file does not exist.
    """
    names = list(read_names(source, key))
    if not names:
        raise ValueError(f"{key}: no names; give at least one")
    refuse_repeated(names, key)
    return names


def as_detector(model: nn.Module) -> OODDetector:
    """The detector itself, out of the wrapper of a distributed run.

    Raises:
        ValueError: it is no detector of negas.
    """
    model = model.module if is_model_wrapper(model) else model
    if not isinstance(model, BaseDetector):
        raise ValueError(_refusal(type(model).__name__))
    return model


def detector_class(cfg: Mapping[str, Any]) -> type[OODDetector]:
    """The class of a config's ``model``.

    Raises:
        ValueError: it is no detector of negas.
    """
    kind = cfg["type"]
    found = kind if isinstance(kind, type) else MMDET_MODELS.get(kind)
    if not (isinstance(found, type) and issubclass(found, BaseDetector)):
        raise ValueError(_refusal(f"model.type={kind!r}"))
    return found


def detector_names(takes_negatives: bool) -> str:
    """Registered detectors with or without negative labels, as a sentence lists them."""
    names = [
        repr(name)
        for name, found in sorted(MODELS.module_dict.items())
        if isinstance(found, type)
        and issubclass(found, BaseDetector)
        and found.takes_negatives == takes_negatives
    ]
    return " or ".join(names)


def _refusal(what: str) -> str:
    return (
        f"{what} is no open-vocabulary detector of negas; use a config with "
        f"{detector_names(takes_negatives=True)}, or their stock "
        f"{detector_names(takes_negatives=False)}"
    )

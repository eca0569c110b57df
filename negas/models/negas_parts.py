"""What NegAS adds to any detector: prompt, negative labels, OOD loss, score; all else is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub
from mmengine.registry import MODELS, TASK_UTILS
from mmengine.structures import InstanceData
from torch import nn

from negas.embeddings.prompt import PromptLearner
from negas.labels.bank import NegativeLabelBank
from negas.labels.names import read_names

from .base import distinct_names
from .freeze import eval_children, freeze_except
from .postprocess import OODPostProcessor

WITHOUT_NEGATIVES = "max_sigmoid"  # the score of a detector that has no negatives


class NegASParts:
    """Mixin of the NegAS detectors; put it before the stock detector's class.

    A detector says what it builds by default, and gives ``text_encoder``.

    Args:
        neg_labels: a :class:`~negas.labels.NegativeLabelBank` file, or a list of words; empty: none
            (then ``use_nega`` must be off).
        prompt: options of :class:`~negas.embeddings.PromptLearner`; ``None``: no learnable prompt,
            names stand in the stock detector's phrase (stock weights, training-free NegS). For a
            random start ``ctx_init=None``, ``num_ctx`` and, if it shall not be the run's, a
            ``seed``.
        prompt_negatives: put the learnable prompt in front of negative labels too.
        use_nega: train with the OOD branch; ``False`` is the CoOp baseline.
        guide_grad: let ``loss_ood`` reach the prompt through the negatives that guide the branch,
            too; ``False``: through the ID names only, and the branch needs no graph of its own.
        background: config of what is background: :class:`~negas.models.background.BackgroundMask`
            of cells, :class:`~negas.models.query_background.QueryBackground` of queries.
        loss_ood: config of the OOD branch's loss, see :mod:`negas.models.losses`.
        postprocessor: config of :class:`~negas.models.postprocess.OODPostProcessor`.
        *args, **kwargs: of the stock detector.

    Raises:
        ValueError: the parts do not fit each other.
        FileNotFoundError: the bank does not exist.
    """

    takes_negatives = True
    default_background: str
    default_loss: str

    def __init__(
        self,
        *args,
        neg_labels: Sequence[str] | str = (),
        prompt: dict | None = None,
        prompt_negatives: bool = True,
        use_nega: bool = True,
        guide_grad: bool = True,
        background: dict | None = None,
        loss_ood: dict | None = None,
        postprocessor: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._take_negatives(neg_labels, postprocessor)
        if use_nega and not self.neg_labels:
            raise ValueError(
                "use_nega=True needs neg_labels, got 0 labels; use_nega=False trains the prompt "
                "alone (CoOp)"
            )
        self.prompt_negatives = prompt_negatives
        self.use_nega = use_nega
        self.guide_grad = guide_grad
        self._steps_alone = 0
        if prompt is not None:
            options = dict(prompt)
            # The runner seeds PyTorch with the run's seed before it builds the model.
            seed = options.pop("seed", None)
            start = torch.Generator().manual_seed(torch.initial_seed() if seed is None else seed)
            self.prompt = PromptLearner(*self.text_encoder, generator=start, **options)
        self.background = TASK_UTILS.build(background or dict(type=self.default_background))
        self.loss_ood = MODELS.build(loss_ood or dict(type=self.default_loss))
        self._check_score()
        self.trained = freeze_except(self, ("prompt.",))
        eval_children(self)

    @property
    def text_encoder(self) -> tuple[nn.Module, object]:
        """The model whose token embeddings start the prompt, and its tokenizer."""
        raise NotImplementedError

    @property
    def text_options(self) -> dict[str, object]:
        """Options of texts and scores beside the template."""
        return super().text_options | dict(prompt_negatives=self.prompt_negatives)

    @classmethod
    def set_labels(
        cls,
        cfg: ConfigDict,
        classes: Sequence[str] | str | None = None,
        negatives: Sequence[str] | str | None = None,
    ) -> None:
        """Put labels into a config's ``model``; see the interface."""
        old = cfg.get("class_names")
        cfg.use_nega = False  # a training matter; it would demand negatives
        if classes is not None or negatives is not None:
            (cfg.get("postprocessor") or {}).pop("tau", None)  # chosen for the config's own labels
        super().set_labels(cfg, classes)
        if negatives is not None:
            cls._set_negatives(cfg, negatives)
        elif classes is not None and cfg.get("neg_labels"):
            before = read_names(old, "model.class_names") if old else ()
            if set(before) != set(cfg.class_names):
                raise ValueError(
                    "the config's negative labels were made for its own classes; give negatives "
                    "for yours, too (words or a bank), or 'none' to score without"
                )

    @staticmethod
    def _set_negatives(cfg: ConfigDict, negatives: Sequence[str] | str) -> None:
        if isinstance(negatives, str) and Path(negatives).suffix.lower() == ".json":
            bank = NegativeLabelBank.load(negatives)
            bank.check_id_labels(read_names(cfg.class_names, "model.class_names"))
            cfg.neg_labels = negatives
            return
        cfg.neg_labels = distinct_names(negatives, "negatives") if negatives else []
        if not cfg.neg_labels:
            cfg.postprocessor = dict(type="OODPostProcessor", score=WITHOUT_NEGATIVES)

    def relabel(self, cfg: ConfigDict) -> None:
        """Take the labels of a config over; see the interface."""
        super().relabel(cfg)
        self._take_negatives(cfg.get("neg_labels") or (), cfg.get("postprocessor"))
        self._check_score()

    def _take_negatives(self, source: Sequence[str] | str, postprocessor: dict | None) -> None:
        self.neg_labels = self._read_negatives(source)
        self.postprocessor: OODPostProcessor = MODELS.build(
            postprocessor or dict(type="OODPostProcessor")
        )

    def _check_score(self) -> None:
        if self.postprocessor.score.needs_negatives and not self.neg_labels:
            raise ValueError(
                f"postprocessor.score={self.postprocessor.score_name!r} needs negative labels but "
                "neg_labels is empty; give a bank, or a score without negatives such as max_sigmoid"
            )

    def _read_negatives(self, source: Sequence[str] | str) -> tuple[str, ...]:
        if not source:
            return ()
        if isinstance(source, str):
            bank = NegativeLabelBank.load(source, self.class_names)
        else:
            bank = NegativeLabelBank(list(self.class_names), list(source), {})
        return tuple(bank.neg_labels)

    def optional_keys(self) -> tuple[str, ...]:
        """Stock weights have no prompt."""
        return (*super().optional_keys(), "prompt.")

    def train(self, mode: bool = True) -> nn.Module:
        """Switch the detector; its frozen parts stay in eval mode always."""
        super().train(mode)
        eval_children(self)
        return self

    def training_step(self) -> int:
        """The run's number of this step, which its noise depends on."""
        hub = MessageHub.get_current_instance()
        if "iter" in hub.runtime_info:
            return int(hub.get_info("iter"))
        self._steps_alone += 1  # a loop without MMEngine's runner: noise is still fresh each time
        return self._steps_alone - 1

    def add_scores(self, results: list[InstanceData]) -> list[InstanceData]:
        """Detections with ``id_scores`` (and ``known``); ``test_cfg`` says what else they keep."""
        keep = {
            key: self.bbox_head.test_cfg.get(key, False)
            for key in ("keep_logits", "keep_embeddings")
        }
        return [self.postprocessor(result, **keep) for result in results]

"""What NegAS adds to any detector: prompt, negative labels, OOD loss, score; all else is frozen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.logging import MessageHub
from mmengine.registry import MODELS, TASK_UTILS
from torch import nn

from negas.embeddings.prompt import PromptLearner
from negas.labels.bank import NegativeLabelBank

from .freeze import eval_children, freeze_except
from .postprocess import NegSPostProcessor


class NegASParts:
    """Mixin of the NegAS detectors; put it before the detector's class.

    The detector has ``class_names`` and calls :meth:`add_parts` at the end of its constructor.
    """

    prompt: PromptLearner | None

    def add_parts(
        self,
        text_model: nn.Module,
        tokenizer: object,
        neg_labels: Sequence[str] | str,
        prompt: dict | None,
        use_nega: bool,
        background: dict,
        loss_ood: dict,
        postprocessor: dict | None,
    ) -> None:
        """Build the parts and freeze everything but the prompt.

        Args:
            text_model: whose token embeddings start the prompt.
            tokenizer: of it.
            neg_labels: a :class:`~negas.labels.NegativeLabelBank` file, or a list of words; empty:
                none (then ``use_nega`` must be off).
            prompt: options of :class:`~negas.embeddings.PromptLearner` and ``seed``; or ``None``.
            use_nega: train with the OOD branch.
            background: config of the background rule.
            loss_ood: config of the OOD branch's loss.
            postprocessor: config of :class:`~negas.models.postprocess.NegSPostProcessor`.

        Raises:
            ValueError: the parts do not fit each other.
            FileNotFoundError: the bank does not exist.
        """
        self.neg_labels = self._read_negatives(neg_labels)
        if use_nega and not self.neg_labels:
            raise ValueError(
                "use_nega=True needs neg_labels, got 0 labels; use_nega=False trains the prompt "
                "alone (CoOp)"
            )
        self.use_nega = use_nega
        self._steps_alone = 0
        self.prompt = None
        if prompt is not None:
            options = dict(prompt)
            # The runner seeds PyTorch with the run's seed before it builds the model.
            seed = options.pop("seed", None)
            start = torch.Generator().manual_seed(torch.initial_seed() if seed is None else seed)
            self.prompt = PromptLearner(text_model, tokenizer, generator=start, **options)
        self.background = TASK_UTILS.build(background)
        self.loss_ood = MODELS.build(loss_ood)
        self.postprocessor: NegSPostProcessor = MODELS.build(
            postprocessor or dict(type="NegSPostProcessor")
        )
        if self.postprocessor.score.needs_negatives and not self.neg_labels:
            raise ValueError(
                f"postprocessor.score={self.postprocessor.score_name!r} needs negative labels but "
                "neg_labels is empty; give a bank, or a score without negatives such as max_sigmoid"
            )
        self.trained = freeze_except(self, ("prompt.",))
        eval_children(self)

    def _read_negatives(self, source: Sequence[str] | str) -> tuple[str, ...]:
        if not source:
            return ()
        if isinstance(source, str):
            bank = NegativeLabelBank.load(source)
            bank.check_id_labels(self.class_names)
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

    def judged(self, results: list) -> list:
        """Detections with ``id_scores`` (and ``known``)."""
        self.postprocessor.keep_logits |= self.bbox_head.test_cfg.get("keep_logits", False)
        return [self.postprocessor(result) for result in results]

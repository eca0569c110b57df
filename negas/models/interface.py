"""What negas asks of a detector.

A detector inherits :class:`~negas.models.base.BaseDetector`, which answers most of it, in front of
its MMDetection class, and is registered with ``MODELS``; nothing else has to know of it.

Shapes: K ID labels, M negative labels, T tokens of the longest label, D text channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from mmengine.config import ConfigDict
from torch import Tensor, nn

if TYPE_CHECKING:
    from negas.embeddings.prompt import PromptLearner

    from .attention_maps import Branch
    from .postprocess import OODPostProcessor
    from .traced import Traced


class UnfitImageError(ValueError):
    """An image that a detector cannot take, while others it can: no fault of its settings."""


class OODDetector(Protocol):
    """An open-vocabulary detector whose boxes can be scored known or unknown.

    Attributes:
        takes_negatives: whether the class scores with negative labels, trains a prompt and gives
            verdicts; the stock classes do not.
        class_names: ID labels; a box's label indexes them.
        neg_labels: negative labels; empty: none.
        template: phrase around a name, ``"a photo of {}"``.
        text_options: what else text embeddings and scores depend on, beside names and weights, as
            JSON can hold it; a calibration holds for these only.
        token_reduce: how a label's token logits become its logit, where a label is several tokens;
            ``None``: it is one embedding.
        prompt: the learnable prompt; ``None``: none.
        use_nega: whether the OOD branch is trained.
        postprocessor: the OOD score and tau of every box; ``None``: boxes get none.
        base_checkpoint: full weights under those that are trained.
        base_sha256: of that file, once it is loaded.
        relabelled: whether its labels were given at run time, so that they may differ from those
            its checkpoint was trained for.
        bbox_head: with a dict ``test_cfg``. With ``keep_logits`` predictions carry ``id_logits``
            [n, K] and ``neg_logits`` [n, M], with ``keep_embeddings`` ``embeddings`` [n, D+1], too:
            what records are made of. What the postprocessor's score reads is computed anyway.
    """

    takes_negatives: ClassVar[bool]
    class_names: tuple[str, ...]
    neg_labels: tuple[str, ...]
    template: str
    text_options: Mapping[str, Any]
    token_reduce: str | None
    prompt: PromptLearner | None
    use_nega: bool
    postprocessor: OODPostProcessor | None
    base_checkpoint: str | None
    base_sha256: str | None
    relabelled: bool
    bbox_head: nn.Module

    def text_feats(self) -> tuple[Tensor, Tensor | None]:
        """Test-time embeddings of ID labels, [K, D] or [K, T, D], and of negatives, if any."""

    def bank_feats(self, neg_labels: Sequence[str]) -> Tensor:
        """Test-time embeddings of any negative labels, [M, D] or [M, T, D]."""

    def attention(self, inputs: Tensor) -> list[Branch]:
        """Attention under the ID texts and, if there are any, the negative texts.

        Args:
            inputs: one preprocessed image [1, 3, h, w]; the detector is in eval mode.

        Raises:
            ValueError: no part of it is guided by texts.
        """

    @classmethod
    def set_labels(
        cls,
        cfg: ConfigDict,
        classes: Sequence[str] | str | None = None,
        negatives: Sequence[str] | str | None = None,
    ) -> None:
        """Put labels into a config of this class, which is then only good for inference.

        Args:
            cfg: ``model`` of a config, changed in place.
            classes: ID names, or a file of them; ``None``: the config's.
            negatives: words, a text file of them, or a bank (``.json``); empty: none, boxes are
                then scored without; ``None``: the config's.

        Raises:
            ValueError: the names are not sound, the class cannot take them, or the config's
                negatives were made for other classes.
            FileNotFoundError: a file does not exist.
        """

    def relabel(self, cfg: ConfigDict) -> None:
        """Take over labels, score and words of a config; weights and all else stay as they are.

        Args:
            cfg: ``model`` of the detector's config, with labels of :meth:`set_labels`.

        Raises:
            ValueError: the labels are not sound, or the detector cannot take them. What it has
                taken till then stays.
        """

    def traced(self, size: tuple[int, int]) -> Traced:
        """The network as a function of tensors alone, for exporters.

        Args:
            size: width and height of the images in pixels.

        Raises:
            ValueError: it has no such form.
        """

    def score_head(self) -> dict[str, Tensor]:
        """Tensors that were trained beside the detector for scores of embeddings; empty: none."""

    def optional_keys(self) -> tuple[str, ...]:
        """Prefixes of parameters that a checkpoint may lack as a whole."""

    def load_base(self) -> None:
        """Load ``base_checkpoint`` once."""

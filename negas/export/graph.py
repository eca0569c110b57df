"""What is in an exported file: pixels in, boxes with their verdicts out.

Shapes: B images, N places of the network, K ID labels, M negative labels, P rows of an image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from negas.models.traced import Traced
from negas.scores import Score

from .nms import just_below, nms_mask
from .unknown import Shown, UnknownObjects, rows_of


class Network(nn.Module):
    """Images and texts to all places with all logits: what a ``.pt2`` holds.

    Args:
        traced: the detector's network.
        mean: of the channels, in the order that the network sees them.
        std: of the channels.
        to_bgr: whether the network sees blue first.
    """

    def __init__(
        self, traced: Traced, mean: Sequence[float], std: Sequence[float], to_bgr: bool
    ) -> None:
        super().__init__()
        self.traced = traced
        self.to_bgr = to_bgr
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def normalized(self, images: Tensor) -> Tensor:
        """RGB pixels, uint8, as the network sees them."""
        pixels = images.float()
        return ((pixels.flip(1) if self.to_bgr else pixels) - self.mean) / self.std

    def forward(self, images: Tensor, *texts: Tensor) -> tuple[Tensor, ...]:
        """Boxes [B, N, 4], ID logits [B, N, K] and, with negatives, their logits [B, N, M]."""
        boxes, id_logits, regions = self.traced.cells(self.normalized(images), texts)
        if not self.traced.detector.neg_labels:
            return boxes, id_logits
        places = torch.arange(boxes.shape[1]).expand(images.shape[0], -1)
        return boxes, id_logits, self.traced.neg_logits(regions, places, texts)


class ExportedDetector(nn.Module):
    """A detector with its score, cut and verdict: what an ONNX file holds.

    Rows are those of :class:`~negas.apis.Inferencer`: boxes over the cut, of their best label, by
    falling confidence. NMS and cut look at ID scores only. Unused rows have the label -1.

    Args:
        network: see there.
        score: the OOD score.
        score_thr: least confidence of a row.
        tau: a row is known iff its score is at least this; ``None``: there is no verdict.
        raw: give logits, too.
        seeks: whether the file finds unknown objects, as the detector does.
    """

    def __init__(
        self,
        network: Network,
        score: Score,
        score_thr: float,
        tau: float | None,
        raw: bool = False,
        seeks: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.score, self.tau, self.raw = score, tau, raw
        self.selection = network.traced.selection
        # A row has at least score_thr in float32, and more than the detector's own threshold. Cut
        # before NMS, which goes by falling score: lower boxes change nothing above them.
        self.score_thr = self._over(score_thr)
        self.objects, self.num_texts = None, 0
        if seeks:
            self.objects = UnknownObjects(network.traced)
            self.num_texts = len(network.traced.texts())

    def _over(self, score_thr: float) -> float:
        return max(just_below(score_thr), float(torch.tensor(self.selection.score_thr)))

    @property
    def has_negatives(self) -> bool:
        """Whether rows are compared with negatives."""
        return bool(self.network.traced.detector.neg_labels)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` gives."""
        names = ["boxes", "labels", "scores", "id_scores"]
        names += ["known"] if self.tau is not None else []
        names += ["unknown_like", "unknown_like_score"] if self.has_negatives else []
        if self.raw:
            names += ["id_logits", "neg_logits"] if self.has_negatives else ["id_logits"]
        if self.objects is not None:
            names += self.objects.output_names
        return tuple(names)

    def forward(self, images: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        """Rows of each image.

        Args:
            images: RGB, uint8, [B, 3, h, w].
            *given: of :meth:`Traced.texts`; then, if unknown objects are sought, ``places`` and
                perhaps ``words`` of :class:`~.unknown.UnknownObjects`.

        Returns:
            ``boxes`` [B, P, 4], xyxy in pixels of the input, not clipped; ``labels`` [B, P];
            ``scores`` and ``id_scores`` [B, P]; ``known`` [B, P]; ``unknown_like`` [B, P], an index
            of a negative, and ``unknown_like_score``, its sigmoid; ``id_logits`` [B, P, K],
            ``neg_logits`` [B, P, M]; then what unknown objects are. See :attr:`output_names`.
        """
        traced = self.network.traced
        count = len(given) if self.objects is None else self.num_texts
        texts, about_objects = given[:count], given[count:]
        boxes, logits, regions = traced.cells(self.network.normalized(images), texts)
        cells, labels, scores = self._rows(boxes, logits, self.score_thr)
        id_logits = rows_of(logits, cells)
        used = (scores > self.score_thr) & (labels == id_logits.argmax(-1))
        neg_logits = None
        if self.has_negatives:
            neg_logits = traced.neg_logits(rows_of(regions, cells), cells, texts)
        # as negas.scores takes them, without its checks, which look at the values
        temperature = self.score.temperature
        ids = id_logits.double() / temperature
        negatives = neg_logits.double() / temperature if self.score.needs_negatives else None
        id_scores = self.score.compute(ids, negatives)
        found = [
            rows_of(boxes, cells) * used[..., None],
            torch.where(used, labels, -1),
            scores * used,
            torch.where(used, id_scores, 0.0).float(),
        ]
        if self.tau is not None:
            found.append((id_scores >= self.tau) & used)
        if neg_logits is not None:
            best, index = neg_logits.max(-1)
            found += [torch.where(used, index, -1), best.sigmoid() * used]
        if self.raw:
            found += [id_logits] if neg_logits is None else [id_logits, neg_logits]
        if self.objects is not None:
            over = self._over(self.objects.options.id_score_thr)
            if over < self.score_thr:  # boxes that are no rows hide, too
                cells, _, scores = self._rows(boxes, logits, over)
            shown = Shown(cells, torch.where(scores > over, scores, -1.0))
            found += self.objects(boxes, logits, regions, shown, *about_objects)
        return tuple(found)

    def _rows(
        self, boxes: Tensor, id_logits: Tensor, score_thr: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Which place, label and score each row has, all [B, P]; the used ones come first."""
        chosen, probs = self.selection, id_logits.sigmoid()
        num_labels = probs.shape[-1]
        best, best_label = probs.max(-1)
        # [B, C, N]: boxes of a group suppress each other
        pairs = probs.transpose(1, 2) if chosen.multi_label else best[:, None]
        places = boxes.shape[1]
        if chosen.candidates is not None and pairs.shape[1] * places > chosen.candidates:
            least = pairs.flatten(1).topk(chosen.candidates).values[:, -1:, None]
            pairs = torch.where(pairs >= least, pairs, 0.0)
        if chosen.iou_thr is not None:
            by_label = not chosen.class_agnostic
            if by_label and not chosen.multi_label:
                mine = best_label[:, None] == torch.arange(num_labels)[:, None]
                pairs = torch.where(mine, pairs, 0.0)
            elif chosen.class_agnostic and chosen.multi_label:
                # pairs of one place overlap wholly: the best label goes first and is all that stays
                pairs = pairs.amax(1, keepdim=True)
            pairs = pairs * nms_mask(boxes, pairs, chosen.iou_thr, score_thr, chosen.max_per_img)
        limit = min(chosen.max_per_img, pairs.shape[1] * places)
        scores, index = pairs.flatten(1).topk(limit)
        cells = index % places
        own = best_label.gather(1, cells)
        if pairs.shape[1] == 1:
            return cells, own, scores
        # of a box with several labels the best one is a row; these move to the front
        labels = index // places
        order = torch.where(labels == own, scores, -1.0).topk(limit).indices
        return cells.gather(1, order), labels.gather(1, order), scores.gather(1, order)

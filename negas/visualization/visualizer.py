"""MMDetection's visualizer with verdicts: known green, unknown red and dashed, objects red."""

from __future__ import annotations

import negas.compat.mm  # noqa: F401 - first of all: mmdet can be imported after it

# isort: split
import numpy as np
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.registry import VISUALIZERS
from mmengine.structures import InstanceData
from PIL import Image

from negas.text import shown_text

from .boxes import draw_scene, mark_scale, paintable, unknown_caption
from .text import NAME, plain_figure


@VISUALIZERS.register_module()
class VerdictVisualizer(DetLocalVisualizer):
    """Draws ``known`` and ``id_scores`` of predictions; what has none looks as in MMDetection.

    Where there are ``unknown_instances``, boxes without a verdict are green, with their confidence.

    Class names are painted as they stand. Of pictures of over 50 megapixels a reduced copy is
    painted, as matplotlib would take some hundred bytes per pixel.

    Args:
        name: as in MMDetection's visualizer, to which the other arguments go.
        legible: smaller images are enlarged to so many pixels of the longer side, so that captions
            can be read.

    Attributes:
        drawn: the last picture that was painted, [h, w, 3], RGB.
    """

    def __init__(self, name: str = "verdicts", *args, legible: int = 320, **kwargs) -> None:
        super().__init__(name, *args, **kwargs)
        self.legible = legible
        self.drawn: np.ndarray | None = None
        self._unknown: InstanceData | None = None

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: DetDataSample | None = None,
        *args,
        **kwargs,
    ) -> None:
        """As in MMDetection."""
        pixels, self._shrink = paintable(image)
        self._full = image.shape[1::-1]
        if data_sample is not None and self._shrink < 1:
            data_sample = data_sample.cpu().clone()
            for key in ("gt_instances", "pred_instances", "unknown_instances"):
                if key in data_sample:
                    part = data_sample.get(key)
                    part.bboxes = part.bboxes * self._shrink
        self._unknown = None
        if data_sample is not None and "unknown_instances" in data_sample:
            self._unknown = data_sample.unknown_instances.cpu()
        super().add_datasample(name, pixels, data_sample, *args, **kwargs)

    def set_image(self, image: np.ndarray) -> None:
        """As in MMEngine; what is set last is what was painted."""
        self.drawn = image
        super().set_image(image)

    def get_image(self) -> np.ndarray:
        """As in MMEngine."""
        plain_figure(self.fig_save)
        return super().get_image()

    def _draw_instances(
        self,
        image: np.ndarray,
        instances: InstanceData,
        classes: list[str] | None,
        palette: list[tuple] | None,
    ) -> np.ndarray:
        names = [shown_text(name, NAME) for name in classes or ()] or None
        if "label_names" in instances:  # painted in place of the classes
            instances = instances.clone()
            instances.label_names = [shown_text(name, NAME) for name in instances.label_names]
        judged = "known" in instances and "id_scores" in instances
        if "scores" in instances and (judged or self._unknown is not None):
            page = self._draw_verdicts(image, instances, names)
        else:
            page = Image.fromarray(super()._draw_instances(image, instances, names, palette))
        mark_scale(page, self._shrink, *self._full)
        return np.asarray(page)

    def _draw_verdicts(
        self, image: np.ndarray, instances: InstanceData, names: list[str]
    ) -> Image.Image:
        boxes, labels = instances.bboxes.numpy(), instances.labels.tolist()
        known, scores = [True] * len(labels), instances.scores.tolist()
        if "known" in instances and "id_scores" in instances:
            known, scores = instances.known.tolist(), instances.id_scores.tolist()
        captions = [
            f"{names[label]} {score:.2f}" if is_known else unknown_caption(None, score)
            for label, score, is_known in zip(labels, scores, known, strict=True)
        ]
        if (found := self._unknown) is not None:
            likes = found.get("unknown_like", [None] * len(found))
            captions += map(unknown_caption, likes, found.scores.tolist())
            boxes = np.concatenate([boxes, found.bboxes.numpy()])
            known = [*known, *[None] * len(found)]
        scale = max(1.0, self.legible / max(image.shape[:2]))
        return draw_scene(Image.fromarray(image), boxes, known, captions, scale)

"""MMDetection's visualizer with a verdict: known boxes green, unknown ones red and dashed."""

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

from .boxes import draw_scene, mark_scale, paintable
from .text import NAME, plain_figure


@VISUALIZERS.register_module()
class VerdictVisualizer(DetLocalVisualizer):
    """Draws ``known`` and ``id_scores`` of predictions; what has none looks as in MMDetection.

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
            for key in ("gt_instances", "pred_instances"):
                if key in data_sample:
                    part = data_sample.get(key)
                    part.bboxes = part.bboxes * self._shrink
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
        if "known" in instances and "id_scores" in instances:
            page = self._draw_verdicts(image, instances, names)
        else:
            page = Image.fromarray(super()._draw_instances(image, instances, names, palette))
        mark_scale(page, self._shrink, *self._full)
        return np.asarray(page)

    def _draw_verdicts(
        self, image: np.ndarray, instances: InstanceData, names: list[str]
    ) -> Image.Image:
        known = instances.known.tolist()
        captions = [
            f"{names[label]} {score:.2f}" if is_known else f"unknown {score:.2f}"
            for label, score, is_known in zip(
                instances.labels.tolist(), instances.id_scores.tolist(), known, strict=True
            )
        ]
        scale = max(1.0, self.legible / max(image.shape[:2]))
        boxes = instances.bboxes.numpy()
        return draw_scene(Image.fromarray(image), boxes, known, captions, scale)

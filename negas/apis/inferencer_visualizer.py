"""MMDetection's visualizer with a verdict: known boxes green, unknown ones red and dashed."""

from __future__ import annotations

import numpy as np
from mmengine.registry import VISUALIZERS
from mmengine.structures import InstanceData
from PIL import Image

from negas import compat
from negas.visualization.boxes import draw_scene

compat.install()  # before mmdet, whoever imports this module first

from mmdet.visualization import DetLocalVisualizer  # noqa: E402


@VISUALIZERS.register_module()
class VerdictVisualizer(DetLocalVisualizer):
    """Draws ``known`` and ``id_scores`` of predictions; what has none looks as in MMDetection.

    Args:
        name: as in MMDetection's visualizer, to which the other arguments go.
        legible: smaller images are enlarged to so many pixels of the longer side, so that captions
            can be read.
    """

    def __init__(self, name: str = "verdicts", *args, legible: int = 320, **kwargs) -> None:
        super().__init__(name, *args, **kwargs)
        self.legible = legible

    def _draw_instances(
        self,
        image: np.ndarray,
        instances: InstanceData,
        classes: list[str] | None,
        palette: list[tuple] | None,
    ) -> np.ndarray:
        if "known" not in instances or "id_scores" not in instances:
            return super()._draw_instances(image, instances, classes, palette)
        known = instances.known.tolist()
        captions = [
            f"{classes[label]} {score:.2f}" if is_known else f"unknown {score:.2f}"
            for label, score, is_known in zip(
                instances.labels.tolist(), instances.id_scores.tolist(), known, strict=True
            )
        ]
        scale = max(1.0, self.legible / max(image.shape[:2]))
        boxes = instances.bboxes.numpy()
        drawn = np.asarray(draw_scene(Image.fromarray(image), boxes, known, captions, scale))
        self.set_image(drawn)
        return self.get_image()

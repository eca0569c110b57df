"""COCO AP for labels that follow the class names, whatever the order in the json."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.evaluation import CocoMetric
from mmengine.registry import METRICS

from negas.metrics.coco import category_ids, load_coco


@METRICS.register_module()
class CocoByNameMetric(CocoMetric):
    """``CocoMetric`` for :class:`~negas.datasets.coco_by_name.CocoByNameDataset`.

    MMDetection's own takes label k for the k-th class of the json. Annotations are completed and
    numbered as in a test: pycocotools takes a match with the annotation 0 for none.

    Args:
        ann_file: the json.
        **options: of MMDetection's class.

    Raises:
        ValueError: the json is not sound.
    """

    def __init__(self, ann_file: str | None = None, **options: object) -> None:
        super().__init__(ann_file=ann_file, **options)
        if self._coco_api is not None:
            self._coco_api.dataset = load_coco(self._coco_api.dataset).dataset
            self._coco_api.createIndex()

    def results2json(self, results: Sequence[dict], outfile_prefix: str) -> dict[str, str]:
        """Write detections as COCO json files; labels index ``dataset_meta["classes"]``.

        Raises:
            ValueError: a class is no category of the json.
        """
        ids = category_ids(self._coco_api.dataset, self.dataset_meta["classes"])
        place = [self.cat_ids.index(category_id) for category_id in ids]
        results = [
            {**result, "labels": [place[label] for label in result["labels"]]} for result in results
        ]
        return super().results2json(results, outfile_prefix)

"""COCO AP for labels that follow the class names, whatever the order in the json."""

from collections.abc import Sequence

from mmdet.evaluation import CocoMetric
from mmengine.registry import METRICS

from negas.metrics.coco import category_ids


@METRICS.register_module()
class CocoByNameMetric(CocoMetric):
    """``CocoMetric`` for :class:`~negas.datasets.coco_by_name.CocoByNameDataset`.

    MMDetection's own takes label k for the k-th class of the json.
    """

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

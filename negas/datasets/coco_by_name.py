"""COCO-format datasets whose labels follow the class names, whatever the order in the json.

MMDetection's ``CocoDataset`` gives the k-th class *of the json* the label k, even where
``metainfo.classes`` names another order. A vision-language detector reads label k as the k-th name
of its list: with a json in another order it would be trained on wrong words, silently.
"""

import negas.compat.mm  # noqa: F401 - mmdet can be imported after it

# isort: split
from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmengine.registry import DATASETS

_NO_CATEGORY = -1  # holds the place of a class that the json does not know, as OOD sets' do


class COCOByName(COCO):
    """COCO json whose ``get_cat_ids`` answers in the order of the names it is asked for."""

    def get_cat_ids(
        self, cat_names: list[str] = (), sup_names: list[str] = (), cat_ids: list[int] = ()
    ) -> list[int]:
        """Category ids, one per name of ``cat_names``; without names as in MMDetection."""
        if not cat_names:
            return super().get_cat_ids(cat_names, sup_names, cat_ids)
        ids = {category["name"]: category["id"] for category in self.dataset["categories"]}
        return [ids.get(name, _NO_CATEGORY) for name in cat_names]


@DATASETS.register_module()
class CocoByNameDataset(CocoDataset):
    """``CocoDataset`` with label k for the k-th of ``metainfo.classes``; other names are ignored.

    With ``test_mode=True`` it also serves OOD sets: every image is kept, annotated or not.
    """

    COCOAPI = COCOByName

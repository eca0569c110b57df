"""Register every negas module with MMEngine.

Configs say ``custom_imports = dict(imports=["negas.register"], allow_failed_imports=False)``.
"""

import negas.compat.mm  # noqa: F401 - first of all: mmdet and mmyolo can be imported after it

# isort: split
import negas.datasets.coco_by_name
import negas.datasets.emoji_world.dataset
import negas.datasets.emoji_world.stream
import negas.datasets.samplers
import negas.datasets.transforms.random_texts
import negas.engine
import negas.evaluation.coco_by_name
import negas.evaluation.ood_metric
import negas.models
import negas.visualization.visualizer  # noqa: F401

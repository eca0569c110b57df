"""Register every negas module with MMEngine.

Configs say ``custom_imports = dict(imports=["negas.register"], allow_failed_imports=False)``.
"""

from negas import compat

compat.install()

import negas.datasets.coco_by_name  # noqa: E402
import negas.datasets.emoji_world.dataset  # noqa: E402
import negas.datasets.emoji_world.stream  # noqa: E402
import negas.datasets.samplers  # noqa: E402
import negas.datasets.transforms.random_texts  # noqa: E402
import negas.engine  # noqa: E402
import negas.evaluation.coco_by_name  # noqa: E402
import negas.evaluation.ood_metric  # noqa: E402
import negas.models  # noqa: E402, F401

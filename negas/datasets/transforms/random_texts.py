"""Draw the vocabulary of one image for open-vocabulary training."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

DEFAULT_TEMPLATES = (
    "a photo of {}",
    "a picture of {}",
    "a drawing of {}",
    "an icon of {}",
    "a small {}",
    "a colourful {}",
    "one {}",
    "{}",
)
STREAM = 7  # keeps this draw independent of the scene that has the same seed and index


@TRANSFORMS.register_module()
class RandomTexts(BaseTransform):
    """Replace class labels by indices into a random set of texts.

    The texts of an image are the names of its classes and random other names, shuffled; one
    template per image turns the names into sentences. The draw depends only on `seed` and on the
    sample's `img_id`, so it does not depend on workers or on the order of access.

    Reads `gt_bboxes_labels` [N] (indices into the vocabulary) and `img_id`; writes `texts` (tuple
    of num_texts sentences), `text_names` (the bare names) and `gt_bboxes_labels` [N] int64
    (indices into `texts`).

    Args:
        num_texts: texts per image; the same for all, so that batches stack.
        templates: sentences with one `{}`.
        first_weight: probability of the first template (the one used at test time); the others
            share the rest equally.
        classes: the vocabulary; by default the sample's own `class_names`.
        seed: of the draw.

    Raises:
        ValueError: a setting is out of range, the vocabulary is smaller than `num_texts`, or an
            image shows more classes than that.
    """

    def __init__(
        self,
        num_texts: int = 48,
        templates: Sequence[str] = DEFAULT_TEMPLATES,
        first_weight: float = 0.5,
        classes: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        if num_texts < 1:
            raise ValueError(f"num_texts must be 1 or more, but got {num_texts}.")
        if not templates or any(template.count("{}") != 1 for template in templates):
            raise ValueError(
                f"templates must be sentences with one '{{}}' each, but got {list(templates)}."
            )
        if not 0.0 <= first_weight <= 1.0:
            raise ValueError(f"first_weight must lie in [0, 1], but got {first_weight}.")
        self.num_texts, self.seed = num_texts, seed
        self.templates = tuple(templates)
        self.classes = None if classes is None else tuple(classes)
        self.weights = np.ones(1)
        if len(self.templates) > 1:
            rest = (1 - first_weight) / (len(self.templates) - 1)
            self.weights = np.array([first_weight] + [rest] * (len(self.templates) - 1))

    def transform(self, results: dict) -> dict:
        """Add `texts` and `text_names`, remap `gt_bboxes_labels`."""
        names = self.classes or results.get("class_names")
        if names is None:
            raise ValueError(
                "RandomTexts needs a vocabulary: the sample has no 'class_names', so pass classes=."
            )
        if len(names) < self.num_texts:
            raise ValueError(
                f"RandomTexts: num_texts is {self.num_texts}, but the vocabulary has only "
                f"{len(names)} names: lower num_texts."
            )
        labels = np.asarray(results["gt_bboxes_labels"], dtype=np.int64)
        positives = np.unique(labels)
        if len(positives) > self.num_texts:
            raise ValueError(
                f"RandomTexts: image {results['img_id']} shows {len(positives)} classes, more than "
                f"num_texts={self.num_texts}: raise num_texts."
            )
        rng = np.random.Generator(
            np.random.PCG64(np.random.SeedSequence([self.seed, int(results["img_id"]), STREAM]))
        )
        others = np.setdiff1d(np.arange(len(names)), positives)
        negatives = rng.choice(others, size=self.num_texts - len(positives), replace=False)
        chosen = rng.permutation(np.concatenate([positives, negatives]))
        template = self.templates[int(rng.choice(len(self.templates), p=self.weights))]
        place = np.full(len(names), -1, dtype=np.int64)
        place[chosen] = np.arange(self.num_texts)
        results["text_names"] = tuple(names[int(i)] for i in chosen)
        results["texts"] = tuple(template.format(name) for name in results["text_names"])
        results["gt_bboxes_labels"] = place[labels]
        return results

    def __repr__(self) -> str:
        """Show the settings."""
        return f"{type(self).__name__}(num_texts={self.num_texts}, seed={self.seed})"

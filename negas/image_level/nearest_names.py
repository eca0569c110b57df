"""A small offline stand-in for a multimodal language model: the nearest words of a list.

It cannot describe; it names. An image gets the word whose text embedding is nearest to it, a class
the words nearest to its name. Results made with it say so, and with which list.
Shape letters: B images, V words, D channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from negas.image_level.checks import Features, unit_features
from negas.labels.overlap import name_forms


class NearestNames:
    """Captions and similar labels out of a list of words.

    Args:
        names: V words.
        encode: ``texts -> [n, D]``, the encoder's text side with the sentence of its labels.
        sentence: of a caption, with one ``{}``.
        num: similar labels per class.
    """

    def __init__(
        self,
        names: Sequence[str],
        encode: Callable[[list[str]], Features],
        sentence: str = "a photo of {}",
        num: int = 5,
    ) -> None:
        self.names = list(dict.fromkeys(names))
        if not self.names or sentence.count("{}") != 1:
            raise ValueError("nearest names need at least one word and a sentence with one '{}'.")
        self.sentence, self.num, self._encode = sentence, num, encode
        self._feats = unit_features("features of the words", encode(self.names))

    def captions(self, image_feats: Features) -> list[str]:
        """One sentence per image feature [B, D]."""
        feats = unit_features("image_feats", image_feats, self._feats.shape[1])
        nearest = (feats @ self._feats.T).argmax(dim=1).tolist()
        return [self.sentence.replace("{}", self.names[i]) for i in nearest]

    def similar(self, class_names: Sequence[str]) -> list[list[str]]:
        """The words nearest to each class name, other than the name itself."""
        feats = unit_features("class_names", self._encode(list(class_names)))
        orders = (feats @ self._feats.T).argsort(dim=1, descending=True, stable=True).tolist()
        found = []
        for name, order in zip(class_names, orders, strict=True):
            own = name_forms(name)
            others = (self.names[i] for i in order if not own & name_forms(self.names[i]))
            found.append([word for _, word in zip(range(self.num), others, strict=False)])
        return found

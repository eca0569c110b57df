"""The options of a mining run, checked before any work."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from negas.labels.generate import TurnPlan, get_prompt

SOURCES = ("llm", "local", "file", "wordnet", "csp")
SELECTORS = ("visual", "neglabel", "csp", "interneg", "none")
REFINEMENTS = ("none", "wordnet", "llm", "both")
# What each selection keeps where --num is not given: the paper's M, a share of each part of speech
# (NegLabel's and CSP's code), InterNeg's M, everything.
DEFAULT_NUM = {"visual": 20, "neglabel": None, "csp": None, "interneg": 2000, "none": None}


@dataclass(frozen=True)
class MiningOptions:
    """What to mine for, from where, and how to choose.

    Attributes:
        class_names: the K ID classes.
        out: the bank to write.
        work_dir: where the stages lie.
        source: where candidates come from, one of ``SOURCES``.
        candidates_file: for the source "file".
        prompt: a key of :data:`negas.labels.generate.PROMPTS`, for language models.
        context: where the detector works; a key of ``CONTEXTS`` or free text.
        num_candidates: how many to generate; None: 200, or one pass over the classes for prompts
            that go class by class.
        per_turn: how many to ask for at once; None: as the prompt says.
        patience: stop generating after so many turns without a new word.
        retries: how often in a row a useless answer is asked for again.
        seed: of everything random.
        chat: settings of the model (arguments of ``OpenAIChat`` or ``LocalChat``).
        api_key: for "llm"; never stored.
        corpus: for "wordnet" and "csp": ``parts``, ``clean``, ``all_files`` (also those files
            of the lexicon that the published code leaves out).
        refine: which candidates to drop before selecting, one of ``REFINEMENTS``.
        select: how negatives are chosen, one of ``SELECTORS``.
        num: M, how many to choose; None: as ``DEFAULT_NUM`` says.
        min_similarity: of the visual filter, on ``scale``.
        scale: "clip_score" or "cosine".
        keep_fraction: the visual filter passes this share of the candidates, the visually closest,
            in place of a threshold (for encoders whose similarities lie elsewhere than CLIP's).
        percentile: of NegLabel's and CSP's similarity.
        fraction: their share of each part of speech, where ``num`` is None.
        encoder: CLIP-style model, directory or hub name.
        template: a key of :data:`negas.embeddings.templates.TEMPLATES` or a sentence with ``{}``;
            None: the one of the selection's method.
        device: for the encoder.
        ann_file: COCO json of ID training images, for prototypes.
        img_dir: their folder.
        prototypes: False leaves the images out on the user's word.
        max_per_class: crops per class for a prototype.
    """

    class_names: tuple[str, ...]
    out: Path
    work_dir: Path
    source: str = "llm"
    candidates_file: str | None = None
    prompt: str = "complex"
    context: str = ""
    num_candidates: int | None = None
    per_turn: int | None = None
    patience: int = 3
    retries: int = 2
    seed: int = 0
    chat: dict[str, Any] = field(default_factory=dict)
    api_key: str | None = field(default=None, repr=False)
    corpus: dict[str, Any] = field(default_factory=dict)
    refine: str = "none"
    select: str = "visual"
    num: int | None = None
    min_similarity: float = 0.5
    scale: str = "clip_score"
    keep_fraction: float | None = None
    percentile: float = 0.95
    fraction: float = 0.15
    encoder: str | None = None
    template: str | None = None
    device: str = "cpu"
    ann_file: str | None = None
    img_dir: str | None = None
    prototypes: bool = True
    max_per_class: int | None = None

    @property
    def keep(self) -> int | None:
        """M, where it is a number."""
        return DEFAULT_NUM[self.select] if self.num is None else self.num

    @property
    def needs_images(self) -> bool:
        """Whether visual prototypes are computed."""
        return self.select == "interneg" or (self.select == "visual" and self.prototypes)

    @property
    def needs_encoder(self) -> bool:
        """Whether texts are embedded at all."""
        return self.select != "none"

    @property
    def target(self) -> int | None:
        """How many candidates to generate; None: as many as one pass over the classes gives."""
        if self.num_candidates is None and not get_prompt(self.prompt).per_class:
            return 200
        return self.num_candidates

    def check(self, overwrite: bool = False) -> None:
        """Refuse what cannot work.

        Raises:
            ValueError: an unknown choice, a number out of range, options that do not go together.
            FileNotFoundError: a file or folder that is needed does not exist.
            FileExistsError: the bank exists and was made with other classes or by other means.
        """
        for name, value, known in (
            ("source", self.source, SOURCES),
            ("select", self.select, SELECTORS),
            ("refine", self.refine, REFINEMENTS),
            ("scale", self.scale, ("clip_score", "cosine")),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")
        for name, least in (("num", 1), ("max_per_class", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        for name in ("keep_fraction", "fraction"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"{name} must lie in (0, 1], got {value}")
        if math.isnan(self.min_similarity):
            raise ValueError("min_similarity must be a number, got nan")
        if not 0 <= self.percentile <= 1:
            raise ValueError(f"percentile must lie in [0, 1], got {self.percentile}")
        if self.source in ("llm", "local"):
            turn_plan(self)
        elif self.refine in ("llm", "both"):
            raise ValueError(
                f"--refine {self.refine} asks the model that generates: it needs --source llm or "
                f"local; use --refine wordnet"
            )
        if self.source == "file" and not self.candidates_file:
            raise ValueError("--source file needs the file: give --candidates FILE")
        if self.source == "local" and not self.chat.get("model"):
            raise ValueError("--source local needs a model: give --model DIRECTORY or hub name")
        if self.needs_encoder and not self.encoder:
            raise ValueError(
                f"--select {self.select} needs a CLIP model: give --encoder DIRECTORY or hub name "
                f"(or --select none)"
            )
        self._check_images()
        if self.out.is_dir():
            raise ValueError(f"{self.out} is a directory; name the json file to write")
        if self.out.exists() and not overwrite:
            raise FileExistsError(f"{self.out} exists; give another --out, or --overwrite")

    def _check_images(self) -> None:
        if self.needs_encoder and self.encoder and _is_path(self.encoder):
            if not Path(self.encoder).is_dir():
                raise FileNotFoundError(f"the encoder directory {self.encoder!r} does not exist")
        if not self.needs_images:
            return
        without = ", or leave the visual filter out with --no-prototypes"
        without = without if self.select == "visual" else ""
        for option, value, what in (
            ("--ann", self.ann_file, "a COCO json of ID training images"),
            ("--images", self.img_dir, "their folder"),
        ):
            if not value:
                raise ValueError(f"--select {self.select} needs {what}: give {option}{without}")
            if not Path(value).exists():
                raise FileNotFoundError(f"{option} {value!r} does not exist; check it{without}")


def turn_plan(options: MiningOptions) -> TurnPlan:
    """How a language model is asked.

    Raises:
        ValueError: an unknown prompt or a number out of range.
    """
    return TurnPlan(
        get_prompt(options.prompt),
        options.class_names,
        target=options.target,
        per_turn=options.per_turn,
        context=options.context,
        seed=options.seed,
        patience=options.patience,
        retries=options.retries,
    )


def _is_path(name: str) -> bool:
    """Whether a model is meant as a directory here: hub names have one slash and no dot first."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).exists()

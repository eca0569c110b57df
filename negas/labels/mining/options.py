"""The options of a mining run: its command line, and what does not go together."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from negas.labels.generate import TurnPlan, get_prompt, read_key
from negas.options import Options, option
from negas.text import shown

from .classes import read_classes

if TYPE_CHECKING:
    from typing import Self

SOURCES = ("llm", "local", "file", "wordnet", "csp")
SELECTORS = ("visual", "neglabel", "csp", "interneg", "random", "none")
DTYPES = ("float32", "bfloat16", "float16")
REFINEMENTS = ("none", "wordnet", "llm", "both")
# What each selection keeps where --num is not given: the paper's M, a share of each part of speech
# (NegLabel's and CSP's code), InterNeg's M, everything.
DEFAULT_NUM = {"visual": 20, "neglabel": None, "csp": None, "interneg": 2000}
DEFAULT_NUM |= {"random": 20, "none": None}

_candidates = partial(option, group="candidates")
_corpus = partial(option, group="corpus (--source wordnet, csp)")
_model = partial(option, group="language model (--source llm: a server, local: transformers)")
_selection = partial(option, group="selection")
_NOT_RECORDED = ("class_names", "out", "work_dir", "overwrite", "dry_run")


@dataclass(frozen=True)
class MiningOptions(Options):
    """Negative labels for your own classes."""

    class_names: tuple[str, ...] = option(
        help="config, COCO json, text file, or names (also with commas)",
        positional=True,
        metavar="classes",
    )
    out: Path = option(help="the bank to write (json)", output=True)
    work_dir: Path | None = option(
        None,
        help="where the stages are kept (default: work_dirs/mine_<name of --out>)",
        output=True,
    )
    overwrite: bool = option(False, help="replace an existing --out")
    dry_run: bool = option(False, help="print what would be done, and do nothing")
    seed: int = option(0, help="of models and draws", ge=0)

    source: str = _candidates("llm", help="where candidates come from", choices=SOURCES)
    candidates_file: str | None = _candidates(
        None,
        help="for --source file: one per line, or a JSON list",
        flag="--candidates",
        metavar="FILE",
    )
    num_candidates: int | None = _candidates(
        None,
        help="how many to generate (default: 200, or one pass over the classes for prompts that go "
        "class by class)",
        ge=1,
    )
    prompt: str = _candidates("complex", help="simple, complex, eoe-far, eoe-near or eoe-fine")
    context: str = _candidates("", help="where the detector works: voc, bdd100k or your own words")
    per_turn: int | None = _candidates(
        None, help="how many to ask for at once (default: 50; eoe-near: 3)", ge=1
    )
    patience: int = _candidates(3, help="stop after so many turns without a new word", ge=1)
    retries: int = _candidates(2, help="how often a useless answer is asked for again", ge=0)

    parts: tuple[str, ...] = _corpus(("noun", "adj"), help="of speech", choices=("noun", "adj"))
    all_files: bool = _corpus(False, help="animals, food and all else that methods leave out")
    clean: bool = _corpus(False, help="leave out words with digits and odd signs")

    model: str | None = _model(
        None, help="its name there, or a directory (llm: or environment NEGAS_LLM_MODEL)"
    )
    base_url: str | None = _model(  # the bank records it as "server", without what is private in it
        None, help="http(s)://host/v1 (or environment OPENAI_BASE_URL)", secret=True
    )
    api_key_file: str | None = _model(
        None, help="file with the key (or the key in environment OPENAI_API_KEY)", secret=True
    )
    temperature: float | None = _model(None, help="of the sampling (local: 0.7)", ge=0)
    top_p: float | None = _model(None, help="of the sampling (local: 0.8)", gt=0, le=1)
    timeout: float = _model(120, help="seconds a request may take", gt=0, le=86_400)
    max_retries: int = _model(5, help="after failures of the server", ge=0)
    requests_per_minute: float | None = _model(
        None, help="at most so many requests start in a minute", gt=0
    )
    max_new_tokens: int = _model(2048, help="length of a local model's answer", ge=1)
    thinking: bool = _model(False, help="let a local model think first")

    refine: str = _selection("none", help="drop names, synonyms, sub-classes", choices=REFINEMENTS)
    select: str = _selection("visual", help="how negatives are chosen", choices=SELECTORS)
    num: int | None = _selection(
        None, help="M (default: visual, random 20, interneg 2000, neglabel, csp: --fraction)", ge=1
    )
    encoder: str | None = _selection(
        None,
        help="CLIP-style model: directory or hub name; or an npz file of text vectors (names, "
        "embeddings), which sees no images",
    )
    stand_ins: tuple[str, ...] = _selection(
        (), help="whose vector stands for an ID name that such a file lacks", metavar="NAME=OTHER"
    )
    dtype: str = _selection(
        "float32", help="of the encoder; a processor or GPU with bfloat16 is faster", choices=DTYPES
    )
    device: str = _selection("cpu", help="for encoder and local model")
    template: str | None = _selection(None, help="name of a template, or a sentence with {}")
    ann_file: str | None = _selection(
        None, help="COCO json of ID training images (default: from the config)", flag="--ann"
    )
    img_dir: str | None = _selection(
        None, help="their folder (default: from the config)", flag="--images"
    )
    prototypes: bool = _selection(True, help="compare with the images; without: no visual filter")
    max_per_class: int | None = _selection(None, help="at most so many crops per class", ge=1)
    min_similarity: float = _selection(0.5, help="of the visual filter, on --scale", ge=-1, le=100)
    scale: str = _selection(
        "clip_score", help="of --min-similarity", choices=("clip_score", "cosine")
    )
    keep_fraction: float | None = _selection(
        None,
        help="pass this share, the visually closest, in place of --min-similarity (for encoders "
        "whose similarities lie elsewhere than CLIP's)",
        gt=0,
        le=1,
    )
    percentile: float = _selection(0.95, help="of neglabel's and csp's similarity", ge=0, le=1)
    fraction: float = _selection(
        0.15, help="theirs of each part of speech, without --num", gt=0, le=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.work_dir is None:
            object.__setattr__(self, "work_dir", Path("work_dirs") / f"mine_{self.out.stem}")

    @classmethod
    def from_args(cls, args: Namespace, **more: Any) -> Self:
        """Options from the command line; classes, and where they name them images, are read.

        Raises:
            FileNotFoundError: a config or class list does not exist.
            ValueError: it cannot be read, or names no classes; or an option that cannot be.
        """
        classes = read_classes(args.class_names)
        found = dict(
            class_names=classes.names,
            ann_file=args.ann_file or classes.ann_file,
            img_dir=args.img_dir or classes.img_dir,
        )
        return super().from_args(args, **found | more)

    @property
    def chat(self) -> dict[str, Any]:
        """Arguments of ``LocalChat`` or ``OpenAIChat`` that are given, without the key."""
        names = ["model", "base_url", "temperature", "top_p"]
        if self.source == "llm":
            names += ["timeout", "max_retries", "requests_per_minute"]
            defaults = {}
        else:
            names += ["max_new_tokens", "thinking", "device"]
            defaults = {"temperature": 0.7, "top_p": 0.8}
        given = {name: getattr(self, name) for name in names}
        return defaults | {name: value for name, value in given.items() if value is not None}

    @property
    def corpus(self) -> dict[str, Any]:
        """What the corpus holds; ``all_files``: also what the published code leaves out."""
        return dict(parts=list(self.parts), clean=self.clean, all_files=self.all_files)

    def api_key(self) -> str | None:
        """The key, if a file is given; see :func:`negas.labels.generate.read_key`."""
        return None if self.api_key_file is None else read_key(self.api_key_file)

    def changed(self) -> dict[str, Any]:
        """What a bank records of them: options that are not at their default, no key."""
        defaults = {each.name: each.default for each in fields(self)}
        record = {k: v for k, v in self.record().items() if k not in _NOT_RECORDED}
        return {name: v for name, v in record.items() if getattr(self, name) != defaults[name]}

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
        return self.select not in ("random", "none")

    @property
    def has_text_vectors(self) -> bool:
        """Whether the encoder is a file of text vectors."""
        return self.needs_encoder and str(self.encoder).endswith(".npz")

    @property
    def stand_in_names(self) -> dict[str, str]:
        """Which name's vector stands for which."""
        return dict(map(str.strip, pair.split("=", 1)) for pair in self.stand_ins)

    @property
    def target(self) -> int | None:
        """How many candidates to generate; None: as many as one pass over the classes gives."""
        if self.num_candidates is None and not get_prompt(self.prompt).per_class:
            return 200
        return self.num_candidates

    def check(self, overwrite: bool = False) -> None:
        """Refuse what cannot work together or is not there.

        Args:
            overwrite: whether the bank may exist.

        Raises:
            ValueError: a number out of range, or options that do not go together.
            FileNotFoundError: a file or folder that is needed does not exist.
            FileExistsError: the bank exists and was made with other classes or by other means.
        """
        self.api_key()
        if self.source in ("llm", "local"):
            turn_plan(self)
        elif self.refine in ("llm", "both"):
            raise ValueError(
                f"--refine {self.refine} asks the model that generates: it needs --source llm or "
                f"local; use --refine wordnet"
            )
        if self.source == "file" and not self.candidates_file:
            raise ValueError("--source file needs the file: give --candidates FILE")
        if self.source == "local" and not self.model:
            raise ValueError("--source local needs a model: give --model DIRECTORY or hub name")
        if self.needs_encoder and not self.encoder:
            raise ValueError(
                f"--select {self.select} needs a CLIP model: give --encoder DIRECTORY or hub name "
                f"(or --select none)"
            )
        self._check_images()
        if bad := [pair for pair in self.stand_ins if "=" not in pair.strip("= ")]:
            raise ValueError(f"--stand-ins {shown(bad[0])} is no pair; write NAME=OTHER")
        if self.out.is_dir():
            raise ValueError(f"{self.out} is a directory; name the json file to write")
        if self.out.exists() and not overwrite:
            raise FileExistsError(f"{self.out} exists; give another --out, or --overwrite")

    def _check_images(self) -> None:
        if self.has_text_vectors:
            if not Path(self.encoder).is_file():
                raise FileNotFoundError(f"the file of text vectors {self.encoder!r} does not exist")
            if self.needs_images or self.select == "csp":
                raise ValueError(
                    f"--encoder {self.encoder} holds texts only; it serves --select visual "
                    f"--no-prototypes and --select neglabel, other selections need a CLIP model"
                )
        elif self.needs_encoder and self.encoder and _is_path(self.encoder):
            if not Path(self.encoder).is_dir():
                raise FileNotFoundError(f"the encoder directory {self.encoder!r} does not exist")
        if not self.needs_images:
            return
        without = ", or leave the visual filter out with --no-prototypes"
        without = without if self.select == "visual" else ""
        for flag, value, what in (
            ("--ann", self.ann_file, "a COCO json of ID training images"),
            ("--images", self.img_dir, "their folder"),
        ):
            if not value:
                raise ValueError(f"--select {self.select} needs {what}: give {flag}{without}")
            if not Path(value).exists():
                raise FileNotFoundError(f"{flag} {value!r} does not exist; check it{without}")


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

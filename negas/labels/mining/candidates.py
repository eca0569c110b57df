"""First stage of a mining run: candidates, from a language model, a file or a corpus."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from tqdm import tqdm

from negas.labels.candidates import Candidates, read_candidates
from negas.labels.generate import (
    ChatModel,
    LazyChat,
    LocalChat,
    OpenAIChat,
    Turn,
    generate_candidates,
    get_prompt,
)
from negas.labels.generate.openai_chat import public_url

from .options import MiningOptions, turn_plan
from .stages import Stage

Notify = Callable[[str], None]


def chat_settings(options: MiningOptions) -> dict[str, Any]:
    """What a model's answers depend on, known without loading or asking it. No key in it."""
    given = options.chat
    if options.source == "llm":
        server = given.get("base_url") or os.environ.get("OPENAI_BASE_URL")
        given["model"] = given.get("model") or os.environ.get("NEGAS_LLM_MODEL")
        given["server"] = public_url(server) if server else "https://api.openai.com/v1"
    wanted = ("model", "server", "temperature", "top_p", "max_new_tokens", "thinking")
    return {key: given[key] for key in wanted if given.get(key) is not None}


def model_key(options: MiningOptions) -> dict[str, Any]:
    """The same without the server: a port, say, changes more often than what a model answers."""
    return {key: value for key, value in chat_settings(options).items() if key != "server"}


def build_chat(options: MiningOptions, notify: Notify) -> ChatModel:
    """The model that answers, connected or loaded.

    Raises:
        ValueError: it cannot be built from these options.
    """
    given = options.chat
    if options.source == "local":
        return LocalChat(**given)
    return OpenAIChat(**given, api_key=options.api_key(), notify=notify)


def lazy_chat(options: MiningOptions, notify: Notify) -> LazyChat:
    """The model of :func:`build_chat`, when it is first asked."""
    return LazyChat(chat_settings(options), lambda: build_chat(options, notify))


@dataclass(frozen=True)
class CandidateSet:
    """What the first stage hands on.

    Attributes:
        names: the C candidates, in order.
        parts: part of speech of each ("noun" or "adj"), for corpora.
        refused: how many raw names were not taken.
        summary: for the bank's provenance.
        warning: what the user should know about them.
    """

    names: list[str]
    parts: list[str] | None = None
    refused: int = 0
    summary: dict[str, Any] = field(default_factory=dict)
    warning: str | None = None


def candidates_stage(options: MiningOptions, notify: Notify) -> Stage:
    """The file of the first stage, with everything that the candidates depend on."""
    inputs: dict[str, Any] = {"source": options.source, "classes": list(options.class_names)}
    if options.source in ("llm", "local"):
        style = get_prompt(options.prompt)
        plan = turn_plan(options)
        example = style.messages(plan.id_labels, [], plan.asked, plan.context)
        inputs |= {
            "model": model_key(options),
            "prompt": options.prompt,
            "prompt text": hashlib.sha256(str(example).encode()).hexdigest()[:16],
            "context": options.context,
            "per turn": plan.asked,
            "seed": options.seed,
        }
    elif options.source in ("wordnet", "csp"):
        inputs |= {"corpus": options.corpus, "seed": options.seed}
    elif options.source == "file":
        inputs["file"] = read_candidates(options.candidates_file)
    return Stage(options.work_dir, "candidates", inputs, notify)


def find_candidates(options: MiningOptions, notify: Notify) -> CandidateSet:
    """Run the first stage, or read what an earlier run left of it.

    Raises:
        ChatError: the model could not be asked; what it gave before is kept.
        ValueError: no candidate is left.
    """
    stage = candidates_stage(options, notify)
    if options.source in ("llm", "local"):
        return _from_model(options, stage, notify)
    if options.source == "file":
        return _from_file(options, stage)
    return _from_corpus(options, stage)


def _from_model(options: MiningOptions, stage: Stage, notify: Notify) -> CandidateSet:
    stored = stage.load() or {}
    turns = [Turn(**turn) for turn in stored.get("turns", [])]
    day = stored.get("date") or date.today().isoformat()
    plan = turn_plan(options)
    interval = 0.1 if sys.stderr.isatty() else 10
    with tqdm(total=plan.target, desc="candidates", unit="word", mininterval=interval) as bar:

        def keep(done: list[Turn], candidates: Candidates) -> None:
            stage.save(date=day, turns=[asdict(turn) for turn in done], candidates=candidates.names)
            bar.update(len(candidates) - bar.n)

        model = lazy_chat(options, notify)
        candidates, reason = generate_candidates(model, plan, turns, keep)
        bar.update(len(candidates) - bar.n)
    warning = None
    if plan.target is not None and len(candidates) < plan.target:
        warning = (
            f"only {len(candidates)} of {plan.target} candidates: the model had nothing new in "
            f"{plan.patience} turns; try --prompt simple, another --seed or a larger model"
        )
    summary = {
        "source": options.source,
        "model": model.settings,
        "prompt": options.prompt,
        "task": plan.style.task.format(num=plan.asked),
        "context": options.context,
        "turns": len(turns),
        "seed": options.seed,
        "stopped": reason,
        "date": day,
    }
    refused = sum(len(turn.refused) for turn in turns)
    return CandidateSet(candidates.names, None, refused, summary, warning)


def _from_file(options: MiningOptions, stage: Stage) -> CandidateSet:
    candidates = Candidates(options.class_names)
    _, refused = candidates.add(stage.inputs["file"])
    if not len(candidates):
        raise ValueError(
            f"the candidate file {options.candidates_file!r} holds no usable candidate: all are "
            f"ID labels, repeats or no names"
        )
    if stage.load() is None:
        stage.save(candidates=candidates.names, refused=refused)
    name = Path(options.candidates_file).name
    return CandidateSet(candidates.names, None, len(refused), {"source": "file", "file": name})


def _from_corpus(options: MiningOptions, stage: Stage) -> CandidateSet:
    stored = stage.load()
    if stored is None:
        from negas.labels.corpus import CSP_EXCLUDED, NEGLABEL_EXCLUDED, load_corpus
        from negas.labels.selection.csp import conjugate

        given = dict(options.corpus)
        excluded = CSP_EXCLUDED if options.source == "csp" else NEGLABEL_EXCLUDED
        excluded = () if given.pop("all_files", False) else excluded
        corpus = load_corpus(exclude_files=excluded, drop=options.class_names, **given)
        if options.source == "csp":
            corpus = conjugate(corpus, options.seed, drop=options.class_names)
        stored = {"candidates": list(corpus.words), "parts": list(corpus.parts)}
        stage.save(**stored)
    summary = {"source": options.source, "corpus": "WordNet 3.0", **options.corpus}
    if options.source == "csp":
        summary["seed"] = options.seed
    return CandidateSet(stored["candidates"], stored["parts"], 0, summary)

"""NegRefine's filter: no proper nouns and no sub-categories of ID labels (ICCV 2025).

The published code asks a language model. Here WordNet answers, or any callable that answers yes or
no, or both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence

from negas.labels.generate.answers import AnswerFile
from negas.labels.wordnet import WordNet

from .ranking import Selection

Judge = Callable[[str], "str | bool"]
RELATIONS = ("synonym", "hyponym", "hypernym")
_LONGEST = 60  # characters of a label that go into a question
_TRIES = 2


def refine(
    candidates: Sequence[str],
    id_labels: Sequence[str],
    wordnet: WordNet | None = None,
    judge: Judge | None = None,
    relations: Sequence[str] = ("synonym", "hyponym"),
    senses: int | None = None,
    proper_nouns: bool = True,
) -> Selection:
    """Drop candidates that are names, or that say the same as an ID label or a kind of it.

    Args:
        candidates: C labels, best first; the order stays.
        id_labels: K ID labels.
        wordnet: the lexicon to look them up in. It is loaded if there is no judge; with a judge
            and None, WordNet is left out. A word it does not know is kept.
        judge: takes a question and answers ``yes...`` or ``no...`` (or a bool). It is asked about
            what WordNet kept. An unclear answer is asked for once more, then the candidate stays
            and stands in ``settings["unclear"]``.
        relations: what to drop: ``synonym``, ``hyponym`` (sub-category), ``hypernym``
            (super-category; not in NegRefine) of an ID label. A judge is asked about the first two.
        senses: how many of the most frequent meanings of a word count in WordNet; None: all, which
            drops too many ("andiron" is a synonym of "dog") rather than too few.
        proper_nouns: whether to drop names of persons, places, works, brands.

    Returns:
        The candidates kept, and why each other one was dropped.

    Raises:
        ValueError: an unknown relation.
    """
    if unknown := set(relations) - set(RELATIONS):
        raise ValueError(f"relations must be some of {RELATIONS}, got {sorted(unknown)[0]!r}.")
    if wordnet is None and judge is None:
        wordnet = WordNet.load()
    dropped: dict[int, str] = {}
    if wordnet is not None:
        dropped = _by_wordnet(candidates, id_labels, wordnet, relations, senses, proper_nouns)
    unclear: list[str] = []
    if judge is not None:
        from tqdm import tqdm

        left = [i for i in range(len(candidates)) if i not in dropped]
        for i in tqdm(left, desc="judge", leave=False, disable=None):
            for reason, question in _questions(candidates[i], id_labels, relations, proper_nouns):
                verdict = _ask(judge, question)
                if verdict is None:
                    unclear.append(candidates[i])
                elif verdict:
                    dropped[i] = f"{reason} (judge)"
                    break
    return Selection(
        chosen=tuple(i for i in range(len(candidates)) if i not in dropped),
        dropped=dict(sorted(dropped.items())),
        settings={
            "method": "refine",
            "wordnet": wordnet is not None,
            "judge": judge is not None,
            "relations": list(relations),
            "senses": senses,
            "proper_nouns": proper_nouns,
            "unclear": unclear,
        },
    )


def remember(judge: Judge, path: str | os.PathLike) -> Judge:
    """A judge that keeps its answers in an :class:`AnswerFile` and never asks twice.

    Answers that are neither yes nor no are not kept.
    """
    answers = AnswerFile(path, {"answers": "of a judge, by its questions"})

    def ask(question: str) -> str | bool:
        if question not in answers:
            answer = judge(question)
            if _verdict(answer) is None:
                return answer
            answers.put(question, answer)
        return answers[question]

    return ask


def _by_wordnet(candidates, id_labels, wordnet, relations, senses, proper_nouns) -> dict[int, str]:
    """Index -> reason for what WordNet tells; ID labels' synsets are gathered once."""
    reasons: dict[str, str] = {}  # synset id -> why a word of it goes
    reach = {"synonym": list, "hyponym": wordnet.below, "hypernym": wordnet.above}
    for relation in relations:
        for label in id_labels:
            ids = [synset.id for synset in wordnet.synsets(label, senses=senses)]
            for id_ in reach[relation](ids):
                reasons.setdefault(id_, f"{relation} of the ID label {label!r}")
    dropped = {}
    for i, word in enumerate(candidates):
        found = (reasons.get(synset.id) for synset in wordnet.synsets(word, senses=senses))
        reason = next(filter(None, found), None)
        if reason is None and proper_nouns and wordnet.is_proper_noun(word):
            reason = "proper noun"
        if reason is not None:
            dropped[i] = reason
    return dropped


def _questions(candidate, id_labels, relations, proper_nouns):
    """(reason, question) pairs; labels are quoted and shortened, as they may come from a model."""
    word = json.dumps(candidate[:_LONGEST], ensure_ascii=False)
    if proper_nouns:
        yield (
            "proper noun",
            f"Is the label {word} a proper noun, that is the name of one certain person, place, "
            f"organisation, work or brand? Answer with yes or no only.",
        )
    if id_labels and {"synonym", "hyponym"} & set(relations):
        labels = json.dumps([label[:_LONGEST] for label in id_labels], ensure_ascii=False)
        yield (
            "synonym or sub-category of an ID label",
            f"Here is a list of classes: {labels}. Does the label {word} mean the same as one of "
            f"them, or is it a kind of one of them? Answer with yes or no only.",
        )


def _ask(judge: Judge, question: str) -> bool | None:
    for _ in range(_TRIES):
        verdict = _verdict(judge(question))
        if verdict is not None:
            return verdict
    return None


def _verdict(answer: str | bool) -> bool | None:
    if isinstance(answer, bool):
        return answer
    first = str(answer).strip().strip("\"'*`( ").casefold()
    for word, verdict in (("yes", True), ("no", False)):
        rest = first.removeprefix(word)
        if rest != first and not rest[:1].isalpha():
            return verdict
    return None

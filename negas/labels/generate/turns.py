"""Ask in turns until there are enough candidates; every turn is kept, so nothing is asked twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from negas.labels.candidates import Candidates
from negas.text import shown

from .chat import ChatError, ChatModel
from .parse import MAX_ANSWER, parse_names
from .prompts import PromptStyle


@dataclass
class Turn:
    """One answer of the model, and what came of it.

    Attributes:
        seed: the seed of the call.
        asked: how many candidates were asked for.
        focus: the class it was about, for prompts that go class by class.
        answer: the raw text.
        added: new candidates.
        refused: why other names in the answer were not taken.
        useless: whether no list could be read from the answer.
    """

    seed: int
    asked: int
    focus: str | None
    answer: str
    added: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    useless: bool = False


@dataclass(frozen=True)
class TurnPlan:
    """What to ask for, and when to stop.

    Args:
        style: the prompt.
        id_labels: the K known classes.
        target: stop when there are so many candidates; None with a per-class prompt: one pass over
            the classes.
        per_turn: how many to ask for in a turn; None: as the style says.
        context: where the detector works.
        seed: of the first call; the n-th call takes ``seed + n``.
        patience: stop after so many turns in a row without a new candidate.
        retries: how often in a row a useless answer is asked for again.

    Raises:
        ValueError: a number out of range, or no target for a prompt that needs one.
    """

    style: PromptStyle
    id_labels: Sequence[str]
    target: int | None = 200
    per_turn: int | None = None
    context: str = ""
    seed: int = 0
    patience: int = 3
    retries: int = 2

    def __post_init__(self) -> None:
        smallest = {"target": 1, "per_turn": 1, "patience": 1, "retries": 0}
        for name, least in smallest.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if self.target is None and not self.style.per_class:
            raise ValueError(f"the prompt {self.style.name!r} needs a number of candidates")

    @property
    def asked(self) -> int:
        """Candidates asked for in each turn."""
        return self.per_turn or self.style.per_turn


def generate_candidates(
    model: ChatModel,
    plan: TurnPlan,
    turns: list[Turn] | None = None,
    on_turn: Callable[[list[Turn], Candidates], None] = lambda turns, candidates: None,
) -> tuple[Candidates, str]:
    """Candidates from a model.

    Args:
        model: who is asked.
        plan: what for.
        turns: what an earlier, interrupted call with the same plan got. Its answers are read again
            and not asked for again; new turns are appended to this list.
        on_turn: called after each new answer, before the next call: the place to save the turns.

    Returns:
        The candidates, and why it stopped: "enough", "all classes asked" or "nothing new".

    Raises:
        ChatError: the model could not be asked, or gave useless answers again and again.
    """
    turns = [] if turns is None else turns
    candidates = Candidates(plan.id_labels, plan.style.drop_shared_words)
    stored = list(turns)
    state = _State(plan)
    for number, focus in enumerate(state.remaining(candidates)):
        new = number >= len(stored)
        if new:
            seed = plan.seed + number
            messages = plan.style.messages(
                plan.id_labels, candidates.names, plan.asked, plan.context, focus
            )
            answer = model.chat(messages, seed)[:MAX_ANSWER]
            turn = Turn(seed, plan.asked, focus, answer)
        else:
            turn = stored[number]
        names = parse_names(turn.answer)
        turn.added, turn.refused = candidates.add(names)
        turn.useless = (
            not names or all(r == "not a name" for r in turn.refused.values()) and (not turn.added)
        )
        if new:
            turns.append(turn)
            on_turn(turns, candidates)
        state.count(turn, fresh=new)
    if not len(candidates):
        raise ChatError(
            "the model gave no usable candidate (only ID labels and repeats); try another model or "
            "prompt"
        )
    return candidates, state.reason


class _State:
    """Which call comes next, and whether one comes at all."""

    def __init__(self, plan: TurnPlan) -> None:
        self._plan = plan
        self._class = 0
        self._idle = 0
        self._failures = 0
        self.reason = ""

    def remaining(self, candidates: Candidates) -> Iterator[str | None]:
        plan = self._plan
        while True:
            if plan.target is not None and len(candidates) >= plan.target:
                self.reason = "enough"
                return
            if plan.style.per_class and self._class >= len(plan.id_labels):
                self.reason = "all classes asked"
                return
            if self._idle >= plan.patience and not plan.style.per_class:
                self.reason = "nothing new"
                return
            yield plan.id_labels[self._class] if plan.style.per_class else None

    def count(self, turn: Turn, fresh: bool) -> None:
        """Take a turn into account; a resumed run gets its retries anew."""
        if not turn.useless:
            self._failures = 0
            self._class += 1
            self._idle = 0 if turn.added else self._idle + 1
            return
        if not fresh:
            return
        self._failures += 1
        if self._failures > self._plan.retries:
            answer = shown(" ".join(turn.answer.split()), 80)
            raise ChatError(
                f"the model answered {self._failures} times in a row without a list of names "
                f"(last: {answer}); try another model, or --prompt simple"
            )

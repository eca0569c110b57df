"""The headline of a report: few numbers, and what they say, in a terminal of 80 columns.

Every command that prints tables ends with it. A claim is made only where two ranges do not meet:
mean and deviation over seeds where a method has several runs, else 95% intervals. Those are of
draws of images where there are any, else Wilson's of as many samples as the smaller side has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from negas.metrics import wilson_interval
from negas.metrics.objects import OBJECT_COUNTS

from .columns import COLUMNS, CONTROLS, PERCENT, score_title
from .few import boxes_of, ends, few_note, objects_of
from .objects import by_set, with_intervals
from .table import Row, Section, Table

_AP = "coco_ap50"
_SHOWN = ("taken_at_60", "as_unknown", "fpr95", "auroc", _AP)
_CLAIMS = ("taken_at_60", "fpr95", "auroc")  # of each set; "as unknown" hangs on each run's cut
_OF_OBJECTS = ("taken_at_60", "as_unknown")
_NOTES = dict(
    taken_at_60="taken @60%: unknown objects taken for known where 60% of known ones are found.",
    as_unknown="found as unknown: all boxes on them are called so at the run's cut.",
    fpr95="FPR95, AUROC: of boxes.",
)
_NO_STATES = "found as unknown: needs rows of the preset objects (--preset val_f1 objects)."
_MOST = 4  # rows that a sentence names

Claim = tuple[str, str]  # OOD set ("": none) and column


def headline(
    title: str, rows: Sequence[Row], state_rows: Iterable[Row], sets: Sequence[str]
) -> Table:
    """The table, with its conclusion.

    Args:
        title: behind the word "Headline".
        rows: with values by ``<set>/<column>``, ``num_id`` and AP; a control follows the row that
            it belongs to and is called ``<label>, <control>``.
        state_rows: rows of the preset ``objects``, by the same labels.
        sets: OOD sets; a section each.
    """
    states = {row.label: row.values for row in state_rows}
    rows = [replace(row, values=states.get(row.label, {}) | row.values) for row in rows]
    owners = _owners(rows)
    named = [
        row if owner is None else replace(row, label=_below(rows[owner], row))
        for row, owner in zip(rows, owners, strict=True)
    ]
    keys = [each for key in _SHOWN for each in (key, *ends(key))]
    sections = by_set([Section("", named)], sets, keys, common=(_AP,))
    values = [row.values for section in sections for row in section.rows]
    found = {key for each in values for key, stat in each.items() if not math.isnan(stat.mean)}
    shown = [COLUMNS[key] for key in _SHOWN if key in found]
    notes = [" ".join([PERCENT, *(text for key, text in _NOTES.items() if key in found)])]
    if "as_unknown" not in found and "taken_at_60" in found:
        notes.append(_NO_STATES)
    few = few_note(boxes_of(rows, sets) | objects_of(rows, sets))
    if few:
        shown = with_intervals(shown, sections, _SHOWN)
    conclusion = _Claims(rows, owners, sets).sentences()
    return Table(f"Headline. {title}", shown, sections, notes + few, conclusion)


def _below(owner: Row, control: Row) -> str:
    return "  " + control.label.removeprefix(f"{owner.label}, ")


def _owners(rows: Sequence[Row]) -> list[int | None]:
    """For each row the place of the one whose control it is."""
    found: list[int | None] = []
    last = None
    for i, row in enumerate(rows):
        if not row.control:
            last = i
        is_of = row.control and last is not None
        found.append(last if is_of and row.label.startswith(f"{rows[last].label}, ") else None)
    return found


@dataclass(frozen=True)
class _Claims:
    """What beats what, from ranges that do not meet."""

    rows: Sequence[Row]
    owners: Sequence[int | None]
    sets: Sequence[str]

    @cached_property
    def plain(self) -> list[int]:
        """Rows that compete."""
        return [i for i, row in enumerate(self.rows) if not row.control]

    @cached_property
    def base(self) -> int:
        """What the others are compared with: the first row with the plain confidence, or at all."""
        title = score_title("max_sigmoid")
        named = [i for i in self.plain if title in self.rows[i].label]
        return (named or self.plain)[0]

    @cached_property
    def over_seeds(self) -> bool:
        """Whether a method has several runs."""
        return any(stat.n > 1 for i in self.plain for stat in self.rows[i].values.values())

    @cached_property
    def claims(self) -> list[Claim]:
        """All that could be said."""
        return [(name, key) for name in self.sets for key in _CLAIMS] + [("", _AP)]

    def ends(self, place: int, claim: Claim) -> tuple[float, float] | None:
        """The range of a number; ``None``: there is none, or nothing tells how sure it is."""
        name, key = claim
        values, full = self.rows[place].values, f"{name}/{key}" if name else key
        stat = values.get(full)
        if stat is None or math.isnan(stat.mean):
            return None
        low, high = stat.mean - stat.std, stat.mean + stat.std
        if ends(full)[0] in values:  # of few samples that of seeds alone would tell too much
            drawn = [values[end].mean for end in ends(full)]
            return min(low, *drawn), max(high, *drawn)
        if self.over_seeds or stat.n > 1:
            return low, high
        owner = self.owners[place]
        counts = self.rows[place if owner is None else owner].values
        sides = [f"{name}/{each}" for each in OBJECT_COUNTS]
        sides = sides if key in _OF_OBJECTS else ["num_id", f"{name}/num_ood"]
        if not name or not all(side in counts for side in sides):
            return None
        return wilson_interval(stat.mean, min(counts[side].mean for side in sides))

    def beats(self, first: int, second: int, claim: Claim) -> bool:
        """Whether one number is better than another, whatever they are within their ranges."""
        one, other = self.ends(first, claim), self.ends(second, claim)
        if one is None or other is None:
            return False
        lower = COLUMNS[claim[1]].better == "lower"
        return one[1] < other[0] if lower else one[0] > other[1]

    def control(self, place: int, kind: str) -> int | None:
        """The control of a row."""
        label = f"{self.rows[place].label}, {CONTROLS[kind]}"
        places = [i for i, owner in enumerate(self.owners) if owner == place]
        return next((i for i in places if self.rows[i].label == label), None)

    def sentences(self) -> list[str]:
        """Three sentences at most; none where nothing can be compared."""
        rivals = [i for i in self.plain if self.plain and i != self.base]
        pairs = [(i, claim) for i in rivals for claim in self.claims]
        if not any(self.ends(i, claim) and self.ends(self.base, claim) for i, claim in pairs):
            return []
        gains = {i: [c for c in self.claims if self.beats(i, self.base, c)] for i in rivals}
        losses = {i: [c for c in self.claims if self.beats(self.base, i, c)] for i in rivals}
        margin = "the spread over seeds" if self.over_seeds else "the 95% intervals"
        if self.over_seeds and any(key.endswith(ends("")) for key in self.rows[self.base].values):
            margin += " and the 95% intervals"
        base = self.rows[self.base].label
        if any(gains.values()):
            said = f"Better than {base} by more than {margin}: {self._listed(gains)}"
        else:
            said = f"Nothing beats {base} by more than {margin}"
        said = [said, *self._controls(gains)]
        if any(losses.values()):
            said.append(f"Worse than it by as much: {self._listed(losses)}")
        return [f"{sentence}." for sentence in said]

    def _controls(self, gains: dict[int, list[Claim]]) -> list[str]:
        """What becomes of the gains without leaks and with the bank turned at random."""
        on_leaks, turned, left = ({i: [] for i in gains} for _ in range(3))
        for i, claims in gains.items():
            rotated, clean = self.control(i, "rotated"), self.control(i, "no_leaks")
            for claim in claims if rotated is not None or clean is not None else ():
                rests = clean is not None and self.ends(clean, claim) is not None
                if rests and not self.beats(clean, self.base, claim):
                    on_leaks[i].append(claim)
                elif rotated is not None and not self.beats(i, rotated, claim):
                    turned[i].append(claim)
                elif rotated is not None:
                    left[i].append(claim)
        parts = [
            (on_leaks, "rests on negatives that name OOD classes"),
            (turned, "survives rotation, so is not due to what the words mean"),
            (left, "does not survive rotation and holds without leaks: it is due to meaning"),
        ]
        said = [f"{self._listed(of)} {text}" for of, text in parts if any(of.values())]
        return [f"Of these gains, {'; '.join(said)}"] if said else []

    def _listed(self, of: dict[int, list[Claim]]) -> str:
        """``a on near, far (FPR95) and ID AP50; b on far (AUROC)``."""
        texts = []
        for i, claims in of.items():
            if claims:
                of_set: dict[str, list[str]] = {}
                for name, key in claims:
                    of_set.setdefault(name, []).append(COLUMNS[key].title)
                alike: dict[str, list[str]] = {}  # sets of which the same is said
                for name, titles in of_set.items():
                    alike.setdefault(", ".join(titles), []).append(name)
                parts = [
                    f"{', '.join(names)} ({said})" if names != [""] else said
                    for said, names in alike.items()
                ]
                texts.append(f"{self.rows[i].label} on {' and '.join(parts)}")
        more = [f"{len(texts) - _MOST} more"] if len(texts) > _MOST else []
        return "; ".join([*texts[:_MOST], *more])

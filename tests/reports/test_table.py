"""Tables: numbers, bold print, deviations."""

import io
import math
import sys

import pytest
from rich.console import Console

from negas.cli import user_errors
from negas.reports.table import (
    Column,
    Row,
    Section,
    Stat,
    Table,
    best_rows,
    print_table,
    to_markdown,
)

FPR = Column("fpr", "near FPR95", "lower")
AUROC = Column("auroc", "near AUROC", "higher")
BOXES = Column("n", "boxes", percent=False, more=("m",))


def table():
    rows = [
        Row("a", dict(fpr=Stat.of([0.5, 0.52]), auroc=Stat(0.7), n=Stat(12.0), m=Stat(7.0))),
        Row("b [x]", dict(fpr=Stat.of([0.4, 0.48]), auroc=Stat(math.nan), n=Stat(9.0))),
        Row("c", dict(auroc=Stat(0.6))),
    ]
    return Table("title", [FPR, AUROC, BOXES], [Section("block", rows)], ["a note"])


def test_stat_is_mean_and_sample_deviation():
    stat = Stat.of([0.1, 0.2, 0.6])
    assert stat.mean == pytest.approx(0.3)
    assert stat.std == pytest.approx(math.sqrt((0.04 + 0.01 + 0.09) / 2))
    assert (Stat.of([0.4]).std, Stat.of([0.4]).n) == (0.0, 1)
    assert math.isnan(Stat.of([0.4, math.nan]).mean)


def test_cells():
    first, second, third = table().sections[0].rows
    assert FPR.text(first.values) == "51.0 ± 1.4"
    assert AUROC.text(first.values) == "70.0"
    assert AUROC.text(second.values) == "-"
    assert BOXES.text(first.values) == "12/7"
    assert FPR.text(third.values) == ""


def test_best_is_lowest_fpr_and_highest_auroc():
    section = table().sections[0]
    assert best_rows(section, FPR) == {1}
    assert best_rows(section, AUROC) == {0}
    assert best_rows(section, BOXES) == set()


def test_controls_do_not_compete():
    rows = [*table().sections[0].rows, Row("rotated", dict(fpr=Stat(0.1)), control=True)]
    assert best_rows(Section("block", rows), FPR) == {1}
    text = to_markdown(Table("title", [FPR], [Section("block", rows)]))
    assert "| rotated | 10.0 |" in text


@pytest.mark.parametrize(
    ("values", "expected"),
    [((0.4, 0.4), set()), ((0.40001, 0.39999, 0.5), {0, 1}), ((0.4,), set())],
)
def test_ties_of_printed_numbers(values, expected):
    section = Section("s", [Row(str(v), dict(fpr=Stat(v))) for v in values])
    assert best_rows(section, FPR) == expected


def test_markdown_has_every_number_and_bold_best():
    lines = to_markdown(table()).splitlines()
    assert lines[0] == "### title"
    assert "| a | 51.0 ± 1.4 | **70.0** | 12/7 |" in lines
    assert "| b [x] | **44.0 ± 5.7** | - | 9 |" in lines
    assert lines[-1].strip() == "a note"
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1


def test_terminal_shows_labels_with_brackets_and_bold():
    stream = io.StringIO()
    print_table(table(), Console(file=stream, width=120, force_terminal=True, color_system="256"))
    text = stream.getvalue()
    assert "b [x]" in text
    assert "\x1b[1;32m" in text.split("44.0")[0][-12:]
    plain = io.StringIO()
    print_table(table(), Console(file=plain, width=120))
    assert "51.0 ± 1.4" in plain.getvalue()


class Terminal(io.StringIO):
    """A standard output that says it is a terminal."""

    def isatty(self):
        return True


def test_a_command_colours_its_tables_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", stream := Terminal())

    @user_errors
    def command():
        print("before")
        print_table(table())
        print("after \x1b[31m")

    assert command() == 0
    said = stream.getvalue()
    assert "\x1b[1;32m" in said and "\\x1b[1" not in said
    assert said.startswith("before") and said.endswith("after \\x1b[31m\n")


def test_a_heading_is_a_sentence_and_never_cut():
    words = [f"word{i}" for i in range(40)]
    made = Table(" ".join(words), [FPR], table().sections, [])
    out = io.StringIO()
    print_table(made, Console(file=out, width=80))
    assert all(out.getvalue().split().count(word) == 1 for word in words)

"""tools/render_results.py: the measured numbers in terminals and in pages."""

import csv
import re
import sys

import pytest

import tools.render_results as render
from tools.render_results import (
    ROOT,
    fill,
    main,
    read_rows,
    table_of,
    to_markdown,
    to_text,
    whole_file,
)

FILES = sorted((ROOT / "results").glob("*.csv"))
NUMBER = re.compile(r"\d+(?:\.\d+)?")
WORD = re.compile(r"[^\W_]+")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository of one page and one file of results."""
    (tmp_path / "results").mkdir()
    (tmp_path / "docs").mkdir()
    lines = ["method,control,fpr95,fpr95_std,words", "a,,80.0,1.5,x", "a,rotated,81.0,,y z"]
    (tmp_path / "results/small.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "results/tables.yaml").write_text(
        "view:\n  where: {method: a}\n  keys: [file, control]\n  columns: [fpr95]\n"
        "  rows:\n    - [the same turned, small, rotated]\n    - [a method, small, '']\n"
    )
    page = "before\n<!-- results: view -->\nold\n<!-- end -->\nafter\n"
    (tmp_path / "README.md").write_text(page)
    monkeypatch.setattr(render, "ROOT", tmp_path)
    return tmp_path


def run(monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["render_results.py", *map(str, args)])
    return main()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_terminal_shows_every_number_in_80_columns(path):
    text = to_text(whole_file(path))
    assert max(map(len, text.splitlines())) <= 80 and "…" not in text
    with path.open() as file:
        rows = list(csv.reader(file))[1:]
    shown = set(NUMBER.findall(text))
    assert {number for row in rows for cell in row for number in NUMBER.findall(cell)} <= shown
    words = {word for row in rows for cell in row for word in WORD.findall(cell)}
    assert words <= set(WORD.findall(text))


def test_markdown_has_mean_and_deviation_in_one_cell(project):
    assert to_markdown(whole_file(project / "results/small.csv")) == (
        "| method | control | FPR95 | words |\n|---|---|---:|---:|\n"
        "| a | | 80.0±1.5 | x |\n| a | rotated | 81.0 | y z |\n"
    )


def test_a_table_of_chosen_rows(project):
    table = table_of("view")
    assert table.rows == [["the same turned", "81.0"], ["a method", "80.0±1.5"]]
    assert table_of("small").rows == whole_file(project / "results/small.csv").rows


def test_wide_files_are_printed_in_blocks_with_their_labels(project):
    numbers = [f"measure_{i}" for i in range(20)]
    with (project / "results/wide.csv").open("w") as file:
        csv.writer(file).writerows([["method", *numbers], ["mine", *range(100, 120)]])
    lines = to_text(whole_file(project / "results/wide.csv")).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if "mine" in line] == ["mine"] * 3
    assert " ".join(lines).count("measure") == 20


def test_pages_are_filled_once(project, monkeypatch, capsys):
    assert run(monkeypatch, "--check") == 1
    assert "README.md: out of date" in capsys.readouterr().out
    assert run(monkeypatch, "--fill") == 0
    assert (project / "README.md").read_text() == (
        "before\n<!-- results: view -->\n" + to_markdown(table_of("view")) + "<!-- end -->\nafter\n"
    )
    capsys.readouterr()
    assert run(monkeypatch, "--check") == 0 and capsys.readouterr().out == ""
    results = project / "results/small.csv"
    results.write_text(results.read_text().replace("81.0", "82.0"))
    assert run(monkeypatch, "--check") == 1


def test_rows_are_chosen(project, monkeypatch, capsys):
    path = project / "results/small.csv"
    assert run(monkeypatch, path, "--where", "control=rotated", "--markdown") == 0
    out = capsys.readouterr().out
    assert "81.0" in out and "80.0" not in out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["results/none.csv"], "none.csv does not exist; the folder results/ has small"),
        (["{path}", "--where", "score=negs"], "small.csv has no column 'score'; it has method,"),
        (["{path}", "--where", "control=turned"], "small.csv has no row with control=turned"),
        (["{path}", "--where", "control"], "--where: expected COLUMN=VALUE, got 'control'"),
    ],
)
def test_what_cannot_be_shown_is_said(project, monkeypatch, capsys, args, said):
    args = [arg.format(path=project / "results/small.csv") for arg in args]
    assert run(monkeypatch, *args) == 2
    assert said in capsys.readouterr().err


def test_a_row_of_a_table_must_be_one_row(project):
    view = project / "results/tables.yaml"
    view.write_text(view.read_text().replace("[file, control]", "[file, method]"))
    view.write_text(view.read_text().replace("small, ''", "small, a"))
    view.write_text(view.read_text().replace("small, rotated", "small, a"))
    with pytest.raises(ValueError, match="'the same turned': small.csv has 2 of it"):
        table_of("view")
    with pytest.raises(FileNotFoundError, match="other.csv does not exist"):
        fill("<!-- results: other -->\n<!-- end -->")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_are_sound(path):
    with path.open() as file:
        header, *rows = csv.reader(file)
    assert len(set(header)) == len(header) and all(len(row) == len(header) for row in rows)
    assert len(set(map(tuple, rows))) == len(rows)
    for i, name in enumerate(header):
        if name.endswith("_std"):
            assert header[i - 1] == name.removesuffix("_std")
            assert all(row[i - 1] for row in rows if row[i]), "a deviation without its mean"
            assert all(float(row[i]) >= 0 for row in rows if row[i])
    assert f"`{path.name}`" in (ROOT / "results/README.md").read_text()
    assert len(read_rows(path)) == len(rows)

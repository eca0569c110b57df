"""Text that came from outside: escaped and cut wherever it is shown."""

import contextlib
import io
import sys

import pytest

from negas import cli
from negas.labels.audit import AuditReport, print_report
from negas.labels.leakage import Finding
from negas.reports.html.page import _environment
from negas.reports.table import Column, Row, Section, Stat, Table, print_table, to_markdown
from negas.text import counted, cut, escaped, in_markdown, listed, shown, shown_text, visible

OBEYED = ["\x1b[2J", "\x07", "\x9b31m", "\x00", "\u202e", "\u2066", "\u2028", "\u200f", "\ud800"]
KEPT = ["Katze größer", "кошка", "قطة", "猫", "😀", "e\u0301", "a|b", "`$x$`"]


@pytest.mark.parametrize("text", [*OBEYED, "a\nb", "\r", "\t"])
@pytest.mark.parametrize("show", [shown, shown_text, escaped, in_markdown])
def test_what_a_terminal_obeys_is_escaped(show, text):
    assert show(f"cat{text}dog").isprintable()
    assert "cat" in show(f"cat{text}dog") and "dog" in show(f"cat{text}dog")


@pytest.mark.parametrize("text", KEPT)
def test_letters_of_all_scripts_stay(text):
    assert shown_text(text) == visible(text) == text


@pytest.mark.parametrize("show", [shown, shown_text, in_markdown])
@pytest.mark.parametrize("letter", ["x", "猫", "\x1b"])
def test_long_texts_are_cut(show, letter):
    said = show(letter * 100_000)
    assert len(said) <= 240 and said.endswith("…")


def test_short_texts_are_not_cut():
    assert cut("x" * 80) == "x" * 80 and shown_text("x" * 80) == "x" * 80
    assert listed(["a", "b"]) == "a, b" and listed("abcdefg", 3) == "a, b, c, ..."


def test_markdown_cells_stay_cells():
    said = in_markdown("a|b `c` <i> [x](y) \\|")
    assert said == r"a\|b \`c\` \<i> [x]\(y) \\\|"


@pytest.mark.parametrize("terminal", [True, False])
def test_lines_of_output(terminal):
    prefix = "11/29 05:30:01 - mmengine - \x1b[4m\x1b[37mINFO\x1b[0m - "
    for own in ("\r", "\x1b[A", "\n\n", prefix):
        assert (visible(own, terminal) == own) == (terminal or "\x1b" not in own)
    for name in ("\x1b[31mred\x1b[0m", "a\x1b[Ab", "\x1b[2K", "\x1b]8;;x\x1b\\", f"a{prefix}"):
        assert "\x1b" not in visible(name, terminal)
        assert visible(prefix + name, terminal).count("\x1b") == 3 * terminal
    assert visible("a\tb\r\nc", terminal) == "a\tb\r\nc"
    for text in (*OBEYED[1:], "\x1b]0;title\x07", "\x1bP", "\x1b[6n"):
        assert text not in visible(f"a{text}b", terminal)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_commands_print_nothing_that_is_obeyed(kind):
    nasty = "".join(OBEYED[1:]) + "\x1b]0;title\x07"

    @cli.user_errors
    def main():
        print(nasty)
        print(nasty, file=sys.stderr)
        raise ValueError(f"the label {nasty} is of no use")

    out, err = kind(), kind()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main() == 2
    for stream in (out, err):
        assert stream.getvalue() and visible(stream.getvalue()) == stream.getvalue()
    assert "is of no use" in err.getvalue()


def test_an_error_shows_start_and_end_of_a_long_message(capsys):
    @cli.user_errors
    def main():
        raise ValueError(f"the label {'x' * 100_000!r} is too long; shorten it")

    assert main() == 2
    said = capsys.readouterr().err
    assert len(said) < 2000 and "the label 'xxx" in said and "shorten it" in said


def table(name):
    column = Column("auroc", name, "higher")
    rows = [Row(name, {"auroc": Stat(0.5)}), Row("other", {"auroc": Stat(0.6)})]
    return Table(name, [column], [Section(name, rows)], [name])


@pytest.mark.parametrize(
    "name", ["a|b", "a`b", "a\nb", "\x1b[2J", "\u202eb", "x" * 100_000, "[/b]"]
)
def test_tables(name):
    from rich.console import Console

    said = to_markdown(table(name))
    rows = [line for line in said.splitlines() if line.startswith("|")]
    bars = [line.replace(r"\\", "").replace(r"\|", "").count("|") for line in rows]
    assert set(bars) == {3}, said
    assert len(said) < 3000 and visible(said) == said
    stream = io.StringIO()
    print_table(table(name), Console(file=stream, width=400))
    assert len(stream.getvalue()) < 6000 and visible(stream.getvalue()) == stream.getvalue()


def test_audits(capsys):
    names = ("cat\x1b[2J", "y" * 100_000)
    found = tuple(Finding(name, name, "exact", name) for name in names)
    print_report(AuditReport(names, tuple((name,) for name in names), found, None, {}))
    said = capsys.readouterr().out
    assert "\x1b" not in said and len(said) < 5000 and "cat" in said


def test_pages():
    page = _environment().from_string("<b>{{ name }}</b>{{ uri }}")
    uri = "data:image/png;base64," + "A" * 9999
    said = page.render(name="\x1b<i>\u202e" + "x" * 100_000, uri=uri)
    assert said.startswith(r"<b>\x1b&lt;i&gt;\u202exxx") and uri in said
    assert len(said) < len(uri) + 1200


def test_one_thing_and_several():
    said = [counted(n, noun) for noun in ("picture", "box", "class") for n in (0, 1, 2)]
    assert said == [
        *("0 pictures", "1 picture", "2 pictures"),
        *("0 boxes", "1 box", "2 boxes"),
        *("0 classes", "1 class", "2 classes"),
    ]

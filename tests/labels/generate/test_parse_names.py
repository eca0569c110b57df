"""From untrusted answers to names: JSON, cut-off JSON, lists, and nothing from prose."""

import pytest

from negas.labels.generate import parse_names
from negas.labels.generate.parse import strip_thinking

THREE = ["mannequin", "bat", "roller coaster"]
FIVE = ["mannequin", "bat", "scarecrow", "statue", "tent"]


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ('["mannequin", "bat", "roller coaster"]', THREE),
        ('Here you are:\n["mannequin", "bat", "roller coaster"]\nAnything else?', THREE),
        ('```json\n["mannequin", "bat", "roller coaster"]\n```', THREE),
        ('Sure!\n```\n["mannequin", "bat", "roller coaster"]', THREE),
        ('{"names": ["mannequin", "bat"], "more": ["roller coaster"]}', THREE),
        ('[{"name": "mannequin", "why": "human"}, {"name": "bat"}, "roller coaster"]', THREE),
        ('{"cat": ["mannequin"], "dog": ["bat", "roller coaster"]}', THREE),
        ('["mannequin", "bat", "roller coaster", "unfini', THREE),
        ('{"names": ["mannequin", "bat", "roller coaster"', THREE),
        ('[{"name": "mannequin", "why": "x"}, {"name": "bat"}, {"name": "roller coaster"', THREE),
        ("<think>maybe [\"cat\"]</think>\n- mannequin\n- bat\n- roller coaster", THREE),
        ("1. mannequin\n2) bat\n(3) roller coaster", THREE),
        ("* **mannequin**: a doll\n* bat - flies\n* roller coaster (rails)",
         ["**mannequin**", "bat", "roller coaster"]),
        ("Animals:\n- cat: fox, lynx\n• dog", ["fox", "lynx", "dog"]),
        ("List: mannequin, bat, scarecrow, statue, and tent", FIVE),
        ("[1] and [2] are no lists\n- mannequin", ["mannequin"]),
    ],
)  # fmt: skip
def test_lists_are_read(answer, names):
    assert parse_names(answer) == names


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "I'm sorry, but I cannot help with that.",
        "No, sorry, I cannot do that, it is against my rules.",
        "mannequin",
        "{}",
        "[]",
        "[1, 2, 3]",
        '"just a text"',
        "<think>endless ['mannequin',",
        "[" * 100_000,
        '{"a":' * 3000,
        "\x00\xff\ufffd" * 50,
        "<think>" * 10_000,
        "[" + "1" * 49_000 + "]",
    ],
)
def test_no_list_is_no_names(answer):
    assert parse_names(answer) == []


def test_endless_answers_are_cut():
    assert len(parse_names("\n".join(f"- thing{i}" for i in range(5000)))) == 1000


@pytest.mark.parametrize(
    ("answer", "rest"),
    [
        ("<think>a</think>b", "b"),
        ("a</think>\nb", "b"),
        ("<thinking>a\nb</thinking> c", "c"),
        ("b<think>never ends", "b"),
        ("plain", "plain"),
        ("a<think>b</think>c<THINK>d</think>e", "ace"),
        ("a<think>b<think>c</think>d", "ad"),
        ("a</think>b</think>c", "c"),
    ],
)
def test_thinking_is_stripped(answer, rest):
    assert strip_thinking(answer) == rest


def test_long_blanks_do_not_stall_the_patterns():
    assert parse_names("- tent" + " " * 49_000 + "x\n- shed" + " (" * 20_000) == ["tent", "shed"]

"""The HTML page: what stands on it, that nothing leaves it, that texts stay texts."""

import base64
import hashlib
import math
import re
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser

import pytest

from negas.reports.html.page import (
    BankWords,
    Confusion,
    ConfusionRow,
    Page,
    Picture,
    PictureGroup,
    TableGroup,
    Tile,
    Verdict,
    render_page,
)
from negas.reports.html.plots import svg_uri
from negas.reports.html.slider import SetCounts, Slider
from negas.reports.table import Column, Row, Section, Stat, Table
from negas.visualization.curves import save_figure

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="

GONE = Picture("a box", None, ["x"], "image not on disk", Verdict(0.25, False))
JUDGED = Picture("another", PIXEL, ["cat"], verdict=Verdict(0.75, True, PIXEL))


def page():
    columns = [Column("fpr95", "FPR95", "lower"), Column("leaks", "leaks", percent=False)]
    rows = [
        Row("MSP", {"fpr95": Stat(0.5)}),
        Row("NegS", {"fpr95": Stat(0.25), "leaks": Stat(3)}),
        Row("empty", {"fpr95": Stat(math.nan)}),
    ]
    table = Table("near: 9 boxes", columns, [Section("no negatives", rows)], ["a table's note"])
    shown = PictureGroup("near", [Picture("a curve", PIXEL, ["a line"])], "of curves")
    return Page(
        title="negas_tiny",
        subtitle="of work_dirs/x",
        tiles=[Tile("near FPR95", "25.0%", ["NegS"])],
        facts=[("Seed", "7")],
        table_groups=[TableGroup("VOS protocol", [table]), TableGroup("matched", [table])],
        table_notes=["ID is the positive class"],
        objects=[Table("at equal recall", columns, [Section("near", rows[:1])])],
        object_classes=[Table("near by class", columns, [Section("NegS", rows[2:])])],
        objects_notes=["objects, not boxes"],
        open_set=[
            Table("ID and near", columns, [Section("8 objects", rows[:1])]),
            Table("ID and far", columns, [], ["No table: annotations are gone"]),
        ],
        open_set_notes=["objects count"],
        plots=[shown],
        confusions=[
            Confusion("near", ["cat"], [ConfusionRow("zebra", 4, 3, 2, [(3, 2)])], "3 of 5"),
            Confusion("far", note="no annotations"),
        ],
        confusion_note="IoU 0.5",
        mistakes=[PictureGroup("wrong", [GONE, JUDGED])],
        mistakes_note="the worst first",
        slider=Slider([0.25, 0.5], 1, [SetCounts("ID test", "TPR", [3, 2], 3)]),
        reliability=shown,
        banks=[BankWords("model", [("fork", []), ("zebra", ["near"])], "1 leak")],
        settings=[("run.seed", "7")],
    )


class Reader(HTMLParser):
    """Tags with attributes, and the text of every element."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if data.strip():
            self.text.append(data.strip())


def read(html):
    reader = Reader()
    reader.feed(html)
    return reader


def test_everything_stands_on_the_page():
    text = " | ".join(read(render_page(page())).text)
    for wanted in ("negas_tiny", "25.0%", "Seed | 7", "VOS protocol", "ID is the positive class"):
        assert wanted in text
    assert "MSP | 50.0" in text and "NegS | 25.0 | 3" in text and "empty | -" in text
    assert "zebra | 4 | 3 | 67% | 3 | 67%" in text
    assert "objects count | ID and near | score | FPR95 | leaks | 8 objects | MSP | 50.0" in text
    assert "objects, not boxes | at equal recall | score | FPR95 | leaks | near | MSP" in text
    assert "near by class | near by class | class | FPR95 | leaks | NegS | empty | -" in text
    assert "ID and far | No table: annotations are gone" in text
    assert "no annotations" in text and "image not on disk" in text and "(leak: near)" in text


def test_the_best_number_is_marked_and_only_the_first_tables_are_open():
    html = render_page(page())
    assert re.findall(r'class="best">([^<]*)<', html) == ["25.0", "25.0"]
    groups = html[html.index('<section id="scores"') : html.index('<section id="objects"')]
    assert [m == " open" for m in re.findall(r"<details( open)?>", groups)] == [True, False]


def test_nothing_is_loaded_from_anywhere():
    html = render_page(page())
    tags = read(html).tags
    policy = [a["content"] for _, a in tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policy) == 1
    rules = dict(part.split(maxsplit=1) for part in policy[0].split("; "))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules["script-src"] == f"'sha256-{digest}'" and "document" in script
    assert [attrs for tag, attrs in tags if tag == "script"] == [{}]
    sources = [a[key] for _, a in tags for key in ("src", "href", "srcset") if key in a]
    assert sources and all(s.startswith(("data:", "#")) for s in sources)
    assert not {"link", "iframe", "object", "base"} & {tag for tag, _ in tags}
    assert "url(" not in html and "@import" not in html


def test_the_page_can_be_read_without_seeing_it():
    tags = read(render_page(page())).tags
    assert ("html", {"lang": "en"}) in tags
    assert all(a.get("alt") for tag, a in tags if tag == "img")
    assert all(a.get("scope") for tag, a in tags if tag == "th")
    names = [tag for tag, _ in tags]
    assert names.count("caption") == names.count("table") > 0
    targets = {a["href"][1:] for tag, a in tags if tag == "a"}
    assert targets <= {a.get("id") for _, a in tags}


def hostile(value):
    """The same value with every text replaced, but for keys, image data and what sets a style."""
    if isinstance(value, str):
        return HOSTILE if value else value
    if isinstance(value, list | tuple):
        return type(value)(hostile(item) for item in value)
    if isinstance(value, dict):
        return {key: hostile(item) for key, item in value.items()}
    if is_dataclass(value):
        changed = {
            field.name: hostile(getattr(value, field.name))
            for field in fields(value)
            if field.name not in ("key", "better", "more", "uri", "unknown_uri")
        }
        return replace(value, **changed)
    return value


def test_every_text_is_escaped():
    plain, evil = read(render_page(page())), read(render_page(hostile(page())))
    assert [tag for tag, _ in evil.tags] == [tag for tag, _ in plain.tags]
    assert not [a for _, a in evil.tags for key in a if key.startswith("on")]
    assert sum(HOSTILE in text for text in evil.text) > 30
    assert [a["alt"] for tag, a in evil.tags if tag == "img"][0] == HOSTILE


@pytest.mark.parametrize("name", ["near", "a$b$", "$\\frac{$", "<b>&"])
def test_plots_take_any_name_and_are_the_same_every_time(name):
    from matplotlib.figure import Figure

    def draw(path):
        figure = Figure()
        figure.subplots().set_title(name)
        save_figure(figure, path)

    first = svg_uri(draw)
    assert first.startswith("data:image/svg+xml;base64,") and first == svg_uri(draw)

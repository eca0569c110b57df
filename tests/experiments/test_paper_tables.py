"""A table's file: what it may say, and what is refused."""

import subprocess
import sys

import pytest

from negas.experiments.tables import Number, read_table

GOOD = """\
title: T
source: S
config: negas_{model}_{data}
rows:
  - title: one
    published: {voc: {coco: {fpr95: 9.9 ± 0.3}, coco_ap: 50}}
  - title: two
    config: stock_{model}_{data}
    overrides: {a.b: 1}
    variants:
      - {models: [yolo*], overrides: {a.c: 2}}
      - {data: [bdd100k], score: mcm}
"""


def read(tmp_path, text):
    file = tmp_path / "t.yaml"
    file.write_text(text, encoding="utf-8")
    return read_table(file)


def test_rows_take_what_they_leave_open_from_table_and_variant(tmp_path):
    table = read(tmp_path, GOOD)
    one, two = table.rows
    assert one.numbers == {"voc": {"coco/fpr95": Number(0.099, 0.003), "coco_ap": Number(0.5)}}
    assert table.cell(one, "voc", "yolo").config == "negas_yolo_voc"
    cell = table.cell(two, "voc", "yolo-s")
    assert (cell.config, cell.overrides, cell.score) == (
        "stock_yolo-s_voc",
        {"a.b": 1, "a.c": 2},
        None,
    )
    cell = table.cell(two, "bdd100k", "dino")
    assert (cell.overrides, cell.score) == ({"a.b": 1}, "mcm")
    assert table.cell(two, "voc", "dino") is None, "no variant fits"


def test_no_table_of_this_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; configs/tables has alpha.yaml"):
        read_table(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title: T", "title: [", "not valid YAML"),
        ("source: S", "source: S\nsource: R", "the key 'source' is given twice"),
        ("source: S", "sorce: S", "unknown key 'sorce'; did you mean 'source'"),
        ("source: S\n", "", "lacks the key 'source'"),
        ("rows:", "row:", "a table is an object with a list of 'rows'"),
        ("title: two", "title: one", "two rows have the title 'one'"),
        ("  - title: two", "  - score: x", "row 2 lacks the key 'title'"),
        ("overrides: {a.b: 1}", "overides: {}", "'two' has the unknown key 'overides'; did you"),
        ("overrides: {a.b: 1}", "overrides: [1]", "'two'.*overrides must be an object"),
        ("models: [yolo*]", "model: [yolo*]", "variant 1 has the unknown key 'model'; did you"),
        ("data: [bdd100k]", "data: [bdd]", "unknown key 'bdd'; did you mean 'bdd100k'"),
        ("{voc:", "{vco:", "unknown key 'vco'; did you mean 'voc'"),
        ("fpr95: 9.9 ± 0.3", "fpr: 9.9", "published.voc.coco has the unknown key 'fpr'"),
        ("fpr95: 9.9 ± 0.3", "fpr95: about 9", "coco.fpr95 must be a number from 0 to 100"),
        ("coco_ap: 50", "coco_ap: 500", "coco_ap must be a number from 0 to 100"),
        ("coco_ap: 50", "map: 50", "published.voc has the unknown key 'map'"),
        ("stock_{model}", "stock_{modle}", "'two'.*unknown placeholder .'modle'"),
        ("stock_{model}", "stock_{model.foo}", "'two'.*unknown placeholder .'model.foo'"),
        ("stock_{model}", "stock_{model:>9}", "'two'.*unknown placeholder .'model'"),
        ("overrides: {a.b: 1}", "overrides: {5: 1}", "'two': overrides: its keys must be texts"),
        ("fpr95: 9.9 ± 0.3", "fpr95: 9.9 ± 300", "coco.fpr95 must be a number from 0 to 100"),
        ("title: two", "title: ''", "row 2: title is empty"),
        ("title: T", "title: " + "[" * 3000, "not valid YAML: maximum recursion"),
    ],
)
def test_refused(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert "t.yaml" in str(error.value)


def test_a_date_is_a_text(tmp_path):
    table = read(tmp_path, GOOD.replace("{a.b: 1}", "{a.b: 2020-01-01}"))
    assert table.rows[1].overrides == {"a.b": "2020-01-01"}


def test_tables_are_read_without_mmdetection_and_torch():
    code = "import sys, negas.experiments.tables; print(*{m.split('.')[0] for m in sys.modules})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "yaml" in found.stdout.split()
    assert not {"torch", "mmengine", "mmdet", "mmcv"} & set(found.stdout.split())

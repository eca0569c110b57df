"""The table of open-world detection, and the published numbers beside it."""

import csv
import json

import pytest

from negas.reports.columns import OWOD
from negas.reports.methods import make_report
from negas.reports.owod import FAMILIES, PUBLISHED, published_sections
from negas.reports.scores import score_tables
from negas.reports.table import to_markdown
from tests.helpers.commands import call_tool
from tests.helpers.fake_runs import fake_run, score_again
from tests.tools.test_one_engine import run_test

ROWS = list(csv.DictReader(PUBLISHED.open(encoding="utf-8")))


def name_benchmark(run, benchmark, task):
    path = run.parent / "data" / "id.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | dict(info=dict(benchmark=benchmark, task=task))))


def table_of(run, **options):
    report = score_again(run, preset=["owod"], scores=["negs", "energy"], **options)
    (table,) = [t for t in score_tables(report) if "open-world detection" in t.title]
    return table


def test_published_rows_have_source_and_treatment_of_repeated_images():
    keys = [(row["benchmark"], row["task"], row["method"]) for row in ROWS]
    assert len(set(keys)) == len(keys)
    for row in ROWS:
        assert row["benchmark"] in ("S-OWODB", "M-OWODB") and row["task"] in "1234"
        assert row["source"] and row["repeats"] in FAMILIES
        assert (row["repeats"] == "none") == (row["benchmark"] == "S-OWODB")
        assert bool(row["u_recall"]) == (row["task"] != "4"), "nothing is unknown at task 4"
        assert all(0 < float(row[k]) < 100 for k in ("u_recall", "known_map50") if row[k])


def test_a_run_stands_beside_the_published_rows_of_its_task(tmp_path):
    run = fake_run(tmp_path / "run")
    name_benchmark(run, "M-OWODB", 1)
    table = table_of(run)
    assert table.title == "run: open-world detection of M-OWODB, task 1; known boxes from 0.05 on"
    assert [column.key for column in table.columns] == list(OWOD)
    titles = [section.title for section in table.sections]
    assert titles[:2] == ["ID + near", "ID + far"]
    assert titles[2:] == [f"published, {FAMILIES[k]}" for k in ("counted", "unstated", "dropped")]
    text = to_markdown(table)
    assert "| PROB [published: orrzohar/PROB@10b6518 README] | 19.4 | 59.5 | 29.3 |" in text
    assert (
        "one treatment of repeated images" in text
        and "one cell too many" in text
        and "over 11 points" in text
    )
    assert all(row.control for section in table.sections[2:] for row in section.rows)


def test_other_data_have_no_published_rows(tmp_path):
    table = table_of(fake_run(tmp_path / "run"))
    assert [section.title for section in table.sections] == ["ID + near", "ID + far"]
    assert "No published rows" in table.notes[2]
    assert published_sections("S-OWODB", 9) == published_sections(None, None) == []


def test_u_recall_is_left_empty_where_nothing_is_unknown():
    (section,) = published_sections("S-OWODB", 4)
    assert all("recall_unknown" not in row.values for row in section.rows)


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    root = tmp_path_factory.mktemp("tested")
    return run_test(root, scores=["max_sigmoid", "negs"], presets=["val_f1", "owod"])


def test_tests_keep_the_numbers_and_reports_show_them(tested, capsys):
    rows = json.loads((tested / "ood_results.json").read_text())["rows"]
    assert {row["preset"] for row in rows if "owod" in row} == {"owod"}
    (table,) = [t for t in make_report([tested]) if "open-world detection" in t.title]
    (row,) = [r for r in table.sections[0].rows if r.label.endswith("[NegS]")]
    (number,) = [
        r["owod"]["recall_unknown"]
        for r in rows
        if (r["score"], r["bank"], r["control"], r["ood_set"]) == ("negs", "model", "none", "near")
        and "owod" in r
    ]
    assert row.values["recall_unknown"].mean == number
    assert call_tool("report", tested) == 0
    assert "open-world detection; known boxes" in capsys.readouterr().out

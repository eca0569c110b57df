"""One vocabulary: every table calls a number, a score and a preset by the same words."""

import dataclasses
import importlib
import re

import numpy as np
import pytest

from negas.evaluation.provenance import MAPS, PUBLISHED_MAPS
from negas.evaluation.run import Run
from negas.experiments.tables import published_rows
from negas.metrics import PRESETS, LabeledBoxes, OODResult, ood_metrics, open_set_metrics
from negas.reports.columns import (
    COLUMNS,
    CONTROLS,
    OF_SET,
    OPEN_SET,
    Block,
    blocks_of,
    counts,
    fpr95_of,
    leaks,
    per_set,
    preset_title,
    score_title,
)
from negas.reports.compare import compare, compare_objects
from negas.reports.html.report import build_page
from negas.reports.html.run import load_report_run
from negas.reports.methods import make_report
from negas.reports.objects import OSCR_COLUMNS
from negas.reports.scores import score_tables
from negas.reports.table import Column, Stat
from tests.helpers.fake_runs import fake_run, score_again

OWN, SHARED = "confidence cut: each run's own", "confidence cut 0.25 for all"


@pytest.mark.parametrize(
    ("label", "title"),
    [
        ("mcm(logits=cosine)", "MCM (logits=cosine)"),
        ("negs(weight=0.5, neg_reduce=mean)", "NegS (weight=0.5, neg_reduce=mean)"),
        ("mine", "mine"),
        ("mine(a=1)", "mine (a=1)"),
    ],
)
def test_titles_of_scores_with_options_and_of_others(label, title):
    assert score_title(label) == title


def row(preset, cut, source, **more):
    return dict(preset=preset, cut=cut, cut_source=source, **more)


def test_blocks_are_presets_at_a_number_or_at_each_runs_own_cut():
    rows = [
        row("matched", 0.31, "id_val"),
        row("val_f1", 0.31, "id_val"),
        row("val_f1", 0.47, "id_test"),
        row("val_f1", 0.2, "config"),
        row("fixed", 0.25, "fixed"),
        row("matched", 0.25, "fixed"),
        row("matched", 0.3, "fixed"),
        row("matched", 0.4, "id_val"),
    ]
    assert blocks_of(rows) == [
        Block("matched"),
        Block("val_f1"),
        Block("fixed", 0.25),
        Block("matched", 0.25),
        Block("matched", 0.3),
    ]


@pytest.mark.parametrize(
    ("block", "samples", "rule", "cut"),
    [
        (Block("val_f1"), "every box over the cut", "at least 95%", OWN),
        (
            Block("vos"),
            "every box over the cut",
            "closest to 95%",
            "best F1 on each run's ID test set",
        ),
        (Block("siren", 0.25), "once per label", "closest to 95%", SHARED),
        (Block("matched"), "boxes on annotated objects only", "at least 95%", OWN),
        (Block("matched", 0.25), "boxes on annotated objects only", "at least 95%", SHARED),
        (Block("fixed", 0.25), "every box over the cut", "at least 95%", SHARED),
        (Block("vos", 0.25), "every box over the cut", "closest to 95%", SHARED),
    ],
)
def test_titles_of_blocks(block, samples, rule, cut):
    name, _, rest = block.title.partition(": ")
    assert name == block.preset and rest.startswith(f"{preset_title(name)}; ")
    assert samples in rest and rule in rest and rest.endswith(cut)


def test_every_preset_has_a_title():
    titles = {name: preset_title(name) for name in PRESETS}
    assert all(titles.values())
    same = {name for name in PRESETS if titles[name] == titles["val_f1"]}
    assert same == {"val_f1", "fixed", "owod"}, "they differ in the cut alone"


@pytest.mark.parametrize(("rule", "expected"), [("at_least", 0.25), ("closest", 0.75)])
def test_fpr95_is_that_of_the_presets_rule(rule, expected):
    assert fpr95_of(dict(rule=rule, fpr95=0.25, fpr95_closest=0.75)) == expected


# --- columns --------------------------------------------------------------------------------------
def test_columns_are_named_once():
    titles = [column.title for column in COLUMNS.values()]
    assert all(titles) and len(set(titles)) == len(titles)
    assert all(key == column.key for key, column in COLUMNS.items())
    assert {*OPEN_SET, *PUBLISHED_MAPS} <= set(COLUMNS) and set(MAPS) < set(PUBLISHED_MAPS)


def test_a_key_more_stands_in_every_table(monkeypatch, tmp_path):
    monkeypatch.setitem(COLUMNS, "aupr", Column("aupr", "AUPR", "higher"))
    for name in ("columns", "scores", "methods", "compare"):
        module = importlib.import_module(f"negas.reports.{name}")
        for keys in {"OF_SET", "BY_RULE"} & {*vars(module)}:
            monkeypatch.setattr(module, keys, (*getattr(module, keys), "aupr"))
    folder = fake_run(tmp_path / "run")
    rows = Run.load(folder).tested_rows
    tables = [
        *score_tables(score_again(folder, scores=("negs",), bootstrap=5)),
        *make_report([folder]),
        compare([folder]),
    ]
    written = {round(row["aupr"], 9) for row in rows if row["ood_set"] == "near"}
    tables = [table for table in tables if table.conclusion is None]  # a headline has no room
    for table in [table for table in tables if OSCR_COLUMNS[0] not in table.columns]:
        shown = [column.key for column in table.columns if column.key.endswith("near/aupr")]
        assert shown, table.title
        found = [row.values["near/aupr"].mean for row in table.sections[0].rows if not row.control]
        assert {round(value, 9) for value in found} <= written, table.title


def test_columns_of_sets():
    values = {"near/fpr95": Stat(0.5), "num_id": Stat(9), "near/num_ood": Stat(8)}
    values |= {"far/num_ood": Stat(7), "near/leaks": Stat(2), "far/leaks": Stat(0)}
    assert per_set("near", "fpr95").title == "near FPR95"
    assert per_set("near", "fpr95").text(values) == "50.0"
    assert counts(["near", "far"]).title == "boxes ID/near/far"
    assert counts(["near", "far"]).text(values) == "9/8/7"
    assert leaks(["near", "far"]).title == "leaks near/far"
    assert leaks(["near", "far"]).text(values) == "2/0"
    assert leaks(["far"]).text(values) == "0"


def test_bold_print_goes_to_the_better_end_of_ood_metrics():
    """Scores that tell ID from OOD move every number to the end that its column calls better."""
    rng = np.random.default_rng(0)
    ids = rng.normal(size=200)
    good = ood_metrics(ids, rng.normal(size=200) - 3).to_dict()
    bad = ood_metrics(ids, rng.normal(size=200) - 0.3).to_dict()
    fields = {field.name for field in dataclasses.fields(OODResult)}
    judged = {key: column.better for key, column in COLUMNS.items() if key in fields}
    assert {key for key, better in judged.items() if better} == {*OF_SET}
    for key, better in judged.items():
        if better:
            assert (good[key] < bad[key]) == (better == "lower"), key


def test_bold_print_goes_to_the_better_end_of_open_set_metrics():
    def boxes(*placed, scores=None):
        corners = [[20 * place, 0, 20 * place + 10, 10] for place, _ in placed]
        labels = np.array([label for _, label in placed])
        return LabeledBoxes(np.zeros(len(placed), int), corners, labels, scores)

    def measured(*placed):
        found = boxes(*placed, scores=np.linspace(0.9, 0.5, len(placed)))
        return open_set_metrics(boxes(*objects), found, 1).to_dict()

    objects = [(0, 0), (1, 0), (2, 1), (3, 1)]  # place and label, 1 is unknown
    good = measured(*objects)
    bad = measured((2, 0), (3, 0), (0, 0), (1, 0), (0, 1))
    for key in OPEN_SET:
        better = COLUMNS[key].better
        if better is None:
            assert good[key] == bad[key] == 2 and key == "num_unknown"
        else:
            assert (good[key] < bad[key]) == (better == "lower") and good[key] != bad[key], key


# --- all tables -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Every table that is made of a run, by who makes it."""
    root = tmp_path_factory.mktemp("tables")
    run = fake_run(root / "negas", presets=["val_f1", "vos", "matched", "siren", "objects"])
    other = fake_run(root / "coop", "coop_tiny.py", use_nega=False)
    how = dict(
        preset=["val_f1", "vos", "objects"],
        scores=["max_sigmoid", "negs"],
        banks=["model", "oracle"],
    )
    report = score_again(run, against=other, bootstrap=5, rotations=2, open_set=True, **how)
    page = build_page(load_report_run(run), 0)
    published = [row for data in ("voc", "bdd100k") for row in published_rows(data)]
    return dict(
        scores=score_tables(report),
        report=make_report([run], shared_cut=0.4, progress=False),
        compare=[compare([run], published), *compare_objects([run])],
        page=[
            *(table for group in page.table_groups for table in group.tables),
            *(*page.objects, *page.object_classes, *page.open_set),
        ],
    )


@pytest.mark.parametrize("who", ["scores", "report", "compare", "page"])
def test_every_column_of_every_table_is_of_the_vocabulary(tables, who):
    seen = set()
    for table in tables[who]:
        for column in table.columns:
            *where, key = column.key.split("/")
            key = re.sub("_(low|high)$", "", key)
            seen.add(key)
            known = COLUMNS[key]
            assert (column.percent, column.better) in [(known.percent, known.better), (True, None)]
            if "_low" in column.key:
                assert column.title == "interval"
            elif "rotated" in where or "no_leaks" in where:
                assert any(column.title.startswith(title) for title in CONTROLS.values())
            else:
                assert known.title in column.title or key in ("num_id", "leaks"), column
    ends = dict(scores={*OPEN_SET, "tpr"}, page={*OPEN_SET, "threshold"}, report={"leaks", *MAPS})
    assert {"fpr95", "auroc", "oscr", "taken_at_60", "taken", "missed"} | ends.get(
        who, {*PUBLISHED_MAPS, "cut", "num_id"}
    ) <= seen


@pytest.mark.parametrize("who", ["scores", "report", "compare", "page"])
def test_every_column_has_a_number_somewhere(tables, who):
    """A column whose key no row has would stand there empty."""
    for table in tables[who]:
        for column in table.columns:
            keys = {column.key, *column.more}
            rows = [row for section in table.sections for row in section.rows]
            wanted = "no_leaks" not in column.key  # may be absent: no leak, or nothing but leaks
            assert not wanted or any(keys & row.values.keys() for row in rows), (table.title, keys)

"""Few samples: a warning, and intervals where a number stands for a box or two."""

import json
import math
import shutil

import pytest

from negas.evaluation.run import Run
from negas.files import write_json
from negas.records import BoxRecords
from negas.reports.compare import compare
from negas.reports.few import few_note, interval_values, widened
from negas.reports.methods import make_report
from negas.reports.objects import state_tables, state_values
from negas.reports.scores import score_tables
from negas.reports.table import Row, Section, Stat
from tests.helpers.fake_runs import fake_run, score_again


def test_the_sentence_names_sets_and_counts():
    assert few_note({"ID boxes": 100, "near boxes": None, "far boxes": 4000}) == []
    (sentence,) = few_note({"ID boxes": 99, "near boxes": 1, "far boxes": 4000})
    assert sentence.startswith("Few samples (under 100): 99 ID boxes, 1 near boxes. ")


def test_intervals_are_wilsons_or_wider_for_few_and_as_drawn_for_many():
    assert widened(1.0, 1) == pytest.approx(dict(low=0.2065, high=1.0), abs=1e-4)
    drawn = dict(low=1.0, high=1.0)  # of one box all draws are alike
    assert widened(1.0, 1, drawn) == pytest.approx(dict(low=0.2065, high=1.0), abs=1e-4)
    assert widened(0.5, 99, dict(low=0.1, high=0.9)) == dict(low=0.1, high=0.9)
    assert widened(0.5, 100) == {} and widened(0.5, 100, drawn) == drawn
    assert widened(math.nan, 5) == widened(None, 5) == widened(0.5, 0) == {}


def test_rows_of_the_closest_rule_have_the_interval_of_their_number():
    row = dict(ood_set="near", rule="closest", num_id=50, num_ood=500, auroc=0.5)
    row |= dict(fpr95=0.0, fpr95_closest=1.0, interval=dict(fpr95=dict(low=0.0, high=0.1)))
    row |= dict.fromkeys(("oscr", "taken_at_50", "taken_at_60", "taken_at_70"), math.nan)
    found = interval_values(row, rule=True)
    assert found["near/fpr95_high"] == 1.0 and found["near/fpr95_low"] > 0.9
    assert interval_values(row)["near/fpr95_low"] == 0.0
    assert not any("oscr" in key for key in found)


@pytest.fixture(scope="module")
def one_box(tmp_path_factory):
    """A run that keeps one box of the set near, over any cut."""
    folder = fake_run(tmp_path_factory.mktemp("few") / "run", presets=["val_f1", "objects"])
    file = folder / "records" / "near.npz"
    records = BoxRecords.load(file)
    records.select([int(records.scores.argmax())]).save(file)
    results = folder / "ood_results.json"
    report = score_again(folder, scores=["max_sigmoid", "negs"], bootstrap=30, rotations=0)
    data = json.loads(results.read_text())
    data["rows"] = [row | dict(interval=None) for row in report["runs"][0]["rows"]]
    write_json(results, data)
    return folder, report


def test_one_box_is_told_in_every_table(one_box):
    folder, report = one_box
    tables = [score_tables(report)[0], make_report([folder], progress=False)[0], compare([folder])]
    for table in tables:
        assert "1 near boxes" in " ".join(n for n in table.notes if n.startswith("Few samples"))
        keys = [column.key for column in table.columns]
        assert keys[keys.index("near/fpr95") + 1] == "near/fpr95_low", table.title
        rows = [row for section in table.sections for row in section.rows if not row.control]
        for row in rows:
            low, high = (row.values[f"near/fpr95_{end}"].mean for end in ("low", "high"))
            assert row.values["near/fpr95"].mean in (0.0, 1.0) and high - low > 0.75
            low, high = (row.values[f"near/auroc_{end}"].mean for end in ("low", "high"))
            assert high - low > 0.5
    head = make_report([folder], progress=False)[-1]
    assert any("1 near boxes" in note and "12 known objects" in note for note in head.notes)
    assert not any("Better" in sentence for sentence in head.conclusion)


def test_many_samples_are_passed_over(one_box, tmp_path):
    folder = shutil.copytree(one_box[0], tmp_path / "run")
    data = json.loads((folder / "ood_results.json").read_text())
    for row in data["rows"]:
        row |= dict(num_id=100, num_ood=100, objects_known=100, objects_unknown=100)
    (folder / "ood_results.json").write_text(json.dumps(data))
    assert Run.load(folder).tested_rows[0]["num_ood"] == 100
    for table in (compare([folder]), make_report([folder], progress=False)[0]):
        assert not any("Few" in note for note in table.notes)
        assert not any(column.title == "interval" for column in table.columns)


def test_states_of_few_objects_have_intervals():
    many = dict(taken=50, flagged=30, found=10, not_found=60)
    few = dict(taken=1, flagged=0, found=1, not_found=0)
    known = dict(right=150, wrong_label=0, called_unknown=0, missed=0)
    values = state_values(dict(known=known, unknown=few), "near")
    values |= state_values(dict(known=known, unknown=many), "far")
    assert values["near/as_unknown"] == 0.5 and values["far/as_unknown"] == pytest.approx(40 / 150)
    assert "far/taken_low" not in values and "near/right_low" not in values
    row = Row("a", {key: Stat(x) for key, x in values.items()})
    unknown, known = state_tables("x", [Section("s", [row])], ["near", "far"])
    assert "interval" in [column.title for column in unknown.columns]
    assert unknown.notes[-1].startswith("Few samples (under 100): 2 near unknown objects. ")
    assert "interval" not in [column.title for column in known.columns] and not known.notes

"""What tools/test.py prints when it is through."""

import runpy

from negas.evaluation.run import Run
from negas.reports.scores import run_tables
from tests.helpers.fake_runs import fake_run
from tests.helpers.yolo_world import ROOT


def test_one_table_per_preset_with_the_models_bank_and_its_controls(tmp_path):
    run = Run.load(fake_run(tmp_path / "run"))
    first, objects, second, short = run_tables(run)
    assert short.title.startswith("Headline. run; val_f1") and short.conclusion
    assert objects.title == "run: objects at equal recall of known ones"
    assert first.title.startswith("run; val_f1") and second.title.startswith("run; matched")
    (section,) = first.sections
    labels = [row.label for row in section.rows]
    assert "NegS" in labels and "NegS, rotated" in labels and "NegS, without leaks" in labels
    assert not any("oracle" in label for label in labels)
    (row,) = [row for row in section.rows if row.label == "max sigmoid"]
    (tested,) = [
        each
        for each in run.tested_rows
        if (each["score"], each["preset"], each["ood_set"]) == ("max_sigmoid", "val_f1", "far")
    ]
    assert row.values["far/auroc"].mean == tested["auroc"]
    assert any("name an OOD class" in note for note in first.notes)


def test_the_command_prints_the_first_and_names_the_rest(tmp_path, capsys):
    path = fake_run(tmp_path / "run")
    runpy.run_path(str(ROOT / "tools/test.py"))["print_numbers"](str(path))
    out = capsys.readouterr().out
    assert "Headline" in out and "    rotated" in out and "near" in out and "matched" not in out
    assert f"negas report {path}" in out and f"negas html-report {path}" in out

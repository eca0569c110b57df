"""A finished test at any tau: rates, filters, the hardest samples."""

import numpy as np
import pytest

from negas.app.finished import ANY, CALLED_KNOWN, CALLED_UNKNOWN, MISTAKES, Finished, Wanted
from negas.records import ID
from negas.visualization.boxes import KNOWN, UNKNOWN
from tests.helpers.fake_runs import fake_run
from tests.helpers.pictures import share
from tests.reports import test_html_crops as crops


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Finished.load(fake_run(tmp_path_factory.mktemp("run") / "run"))


def test_the_rates_of_the_run_at_its_tau_are_those_of_its_rows(run):
    title, rate, tpr, count = run.rates(run.tau)[0]
    assert (title, rate) == ("ID test", "TPR") and tpr >= 0.95
    rows = {
        row["ood_set"]: row
        for row in run.report.run.tested_rows
        if (row["score"], row["preset"], row["control"], row["bank"])
        == ("negs", "val_f1", "none", "model")
    }
    for title, rate, value, count in run.rates(run.tau)[1:]:
        row = rows[title.removesuffix("-OOD")]
        assert rate == "FPR" and value == pytest.approx(row["fpr95"]) and count == row["num_ood"]
    low, high = run.range
    assert {rate[2] for rate in run.rates(low)} == {1.0}
    assert {rate[2] for rate in run.rates(high)} == {0.0}


@pytest.mark.parametrize("verdict", [MISTAKES, CALLED_KNOWN, CALLED_UNKNOWN, ANY])
@pytest.mark.parametrize("ood_set", [ANY, ID, "near"])
def test_filters_leave_what_fits_the_farthest_first(run, verdict, ood_set):
    samples, tau = run.samples, run.tau
    rows = run.hardest(tau, Wanted(ood_set=ood_set, verdict=verdict), 1000)
    known, is_id = samples.values[rows] >= tau, samples.sets[rows] == ID
    if verdict == MISTAKES:
        assert (known != is_id).all() and samples.right[rows].all()
    elif verdict != ANY:
        assert (known == (verdict == CALLED_KNOWN)).all()
    if ood_set != ANY:
        assert set(samples.sets[rows]) <= {ood_set}
    wrong = np.where(is_id, tau - samples.values[rows], samples.values[rows] - tau)
    assert (np.diff(wrong) <= 0).all()
    images = [
        (samples.sets[r], run.report.picked(samples.sets[r]).image_ids[samples.rows[r]].item())
        for r in rows
    ]
    assert len(set(images)) == len(images)
    assert len(run.hardest(tau, Wanted(ood_set=ood_set, verdict=verdict), 2)) <= 2


def test_ood_classes_and_negatives_can_be_chosen(run):
    assert run.choices("things")[0] == ANY and "zebra" in run.choices("things")
    assert run.choices("negatives") == [ANY, "fork", "zebra"]
    for wanted in (Wanted(thing="zebra", verdict=ANY), Wanted(negative="fork", verdict=ANY)):
        rows = run.hardest(run.tau, wanted, 100)
        assert len(rows)
        assert wanted.thing in (ANY, *set(run.samples.things[rows]))
        assert set(run.samples.negatives[rows]) <= {"fork", "zebra"}
    rows = run.hardest(run.tau, Wanted(negative="fork", verdict=ANY), 100)
    assert set(run.samples.negatives[rows]) == {"fork"}


def test_a_picture_says_what_the_box_is(run):
    (row,) = run.hardest(run.tau, Wanted(ood_set="near"), 1)
    picture = run.picture(row, run.tau)
    assert picture.uri.startswith("data:image/jpeg") and "called known" in picture.alt
    assert any("nearest negative" in text for text in picture.caption)
    moved = run.picture(row, 2.0)  # no score is as high
    assert "called unknown" in moved.alt
    for shown, colour, other in ((picture, KNOWN, UNKNOWN), (moved, UNKNOWN, KNOWN)):
        pixels = crops.pixels(shown)
        assert share(pixels, colour, 40) > 0.005 and share(pixels, other, 40) == 0

"""The headline: its rows and columns, what it claims, and when it claims nothing."""

import io

import pytest
from rich.console import Console

from negas.reports.headline import headline
from negas.reports.table import Row, Stat, print_table, print_tables, to_markdown

SETS = ("coco", "openimages")
BASE = "YOLO-World (stock) [max sigmoid]"


def row(label, sets=SETS, control=False, counts=1000, ap=0.5, **numbers):
    """The same numbers on all sets; a pair is mean and deviation over three seeds."""
    values = {} if control else dict(coco_ap50=Stat(ap), num_id=Stat(counts))
    for name in sets:
        for key, x in numbers.items():
            values[f"{name}/{key}"] = Stat(*x, 3) if isinstance(x, tuple) else Stat(x)
        if not control:
            values |= {f"{name}/num_ood": Stat(counts)}
            values |= {f"{name}/objects_{kind}": Stat(counts) for kind in ("known", "unknown")}
    return Row(label, values, control)


def said(rows, sets=SETS):
    return headline("x", rows, [], sets).conclusion


def printed(table, width=80):
    out = io.StringIO()
    print_table(table, Console(file=out, width=width))
    return out.getvalue()


# --- table ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "sets", [("near", "far"), SETS, ("heldout",), ("coco", "openimages", "a_set_of_ones_own")]
)
def test_a_block_for_each_set_in_80_columns(sets):
    numbers = dict(taken_at_60=(0.31, 0.012), fpr95=(0.804, 0.031), auroc=(0.733, 0.007))
    rows = [row(f"{BASE[:i]}", sets, **numbers) for i in (20, 32)]
    states = [
        Row(each.label, {f"{s}/as_unknown": Stat(0.4, 0.01, 3) for s in sets}) for each in rows
    ]
    table = headline("val_f1", rows, states, sets)
    assert [section.title for section in table.sections] == list(sets)
    keys = ["taken_at_60", "as_unknown", "fpr95", "auroc", "coco_ap50"]
    assert [column.key for column in table.columns] == keys
    text = printed(table)
    assert "…" not in text and max(map(len, text.splitlines())) <= 80
    assert text.count("80.4 ± 3.1") == text.count("40.0 ± 1.0") == 2 * len(sets)
    assert text.count("FPR95") == 2, "one heading and one note: a single block of columns"


def test_controls_are_called_by_what_they_are_and_published_rows_keep_their_names():
    rows = [
        row("a [NegS]", fpr95=0.5),
        row("a [NegS], rotated", control=True, fpr95=0.4),
        row("b [published]", control=True, fpr95=0.1),
    ]
    table = headline("x", rows, [], SETS)
    labels = [each.label for each in table.sections[0].rows]
    assert labels == ["a [NegS]", "  rotated", "b [published]"]


def test_what_no_row_has_is_no_column_and_states_are_asked_for():
    table = headline("x", [row("a", fpr95=0.5)], [], SETS)
    assert [column.key for column in table.columns] == ["fpr95", "coco_ap50"]
    assert not any("--preset" in note for note in table.notes), "nor are there objects"
    table = headline("x", [row("a", fpr95=0.5, taken_at_60=0.3)], [], SETS)
    assert any("--preset val_f1 objects" in note for note in table.notes)


# --- what is claimed ------------------------------------------------------------------------------
def test_a_gain_within_the_spread_over_seeds_is_none():
    base = row(BASE, fpr95=(0.80, 0.02))
    near = row("+ NegAS [NegS]", fpr95=(0.75, 0.04))
    far = row("+ NegAS [NegS]", fpr95=(0.70, 0.04))
    assert said([base, near]) == [f"Nothing beats {BASE} by more than the spread over seeds."]
    assert said([base, far]) == [
        f"Better than {BASE} by more than the spread over seeds: + NegAS [NegS] on coco, "
        "openimages (FPR95)."
    ]
    assert said([far, base])[-1].startswith("Better than"), "the plain confidence is the base"
    worse = said([base, row("b", fpr95=(0.9, 0.01), auroc=(0.5, 0.0))])
    assert worse[1] == "Worse than it by as much: b on coco, openimages (FPR95)."


@pytest.mark.parametrize(("counts", "found"), [(100, False), (1000, True)])
def test_one_run_is_judged_by_its_intervals(counts, found):
    rows = [row("max sigmoid", counts=counts, fpr95=0.60), row("NegS", counts=counts, fpr95=0.50)]
    (sentence,) = said(rows)
    assert sentence.startswith("Better than max sigmoid by more than the 95% intervals") == found
    rows[1].values.update({f"{s}/fpr95_low": Stat(0.4) for s in SETS})
    rows[1].values.update({f"{s}/fpr95_high": Stat(0.58) for s in SETS})
    assert said(rows)[0].startswith("Nothing beats"), "an interval that was drawn comes first"


def test_few_samples_widen_what_seeds_tell():
    rows = [row(BASE, fpr95=(0.80, 0.01)), row("a", fpr95=(0.50, 0.01))]
    assert said(rows)[0].startswith("Better")
    for each, low, high in ((rows[0], 0.5, 0.9), (rows[1], 0.3, 0.7)):
        each.values.update({f"{s}/fpr95_low": Stat(low) for s in SETS})
        each.values.update({f"{s}/fpr95_high": Stat(high) for s in SETS})
    margin = "the spread over seeds and the 95% intervals"
    assert said(rows) == [f"Nothing beats {BASE} by more than {margin}."]


def gains(**controls):
    base = row(BASE, fpr95=(0.80, 0.01))
    better = row("N", fpr95=(0.60, 0.01))
    made = [row(f"N, {k.replace('_', ' ')}", control=True, fpr95=v) for k, v in controls.items()]
    sentences = said([base, better, *made])
    return sentences[1] if len(sentences) > 1 else None


def test_controls_say_what_a_gain_rests_on():
    clean, turned = (0.62, 0.01), (0.79, 0.01)
    on = "Of these gains, N on coco, openimages (FPR95)"
    assert gains() is None
    assert gains(without_leaks=(0.79, 0.03)) == f"{on} rests on negatives that name OOD classes."
    assert gains(without_leaks=clean, rotated=(0.61, 0.01)) == (
        f"{on} survives rotation, so is not due to what the words mean."
    )
    assert gains(without_leaks=clean, rotated=turned) == (
        f"{on} does not survive rotation and holds without leaks: it is due to meaning."
    )
    assert gains(rotated=turned).endswith("due to meaning."), "there is no leak"


def test_ap_is_claimed_over_seeds_only_and_published_rows_claim_nothing():
    rows = [row(BASE, fpr95=(0.8, 0.1), ap=0.5), row("a", fpr95=(0.8, 0.1), ap=0.7)]
    assert said(rows)[0].endswith("a on ID AP50.")
    rows = [row(BASE, fpr95=0.8, ap=0.5), row("a", fpr95=0.8, ap=0.7)]
    assert said(rows) == [f"Nothing beats {BASE} by more than the 95% intervals."]
    published = row("b [published]", control=True, fpr95=0.01)
    assert said([*rows, published]) == said(rows)
    assert said([rows[0], published]) == [], "nothing to compare"


def test_files_and_terminals_have_the_sentences(capsys):
    table = headline("x", [row(BASE, fpr95=(0.8, 0.1)), row("a", fpr95=(0.2, 0.1))], [], SETS)
    assert "Better than" in to_markdown(table) and "Better than" in printed(table)
    print_tables([table, table], brief=True, places=["written: x"])
    assert capsys.readouterr().out.endswith("written: x\n")

"""Options said once: the command line, checks, settings files and records that follow."""

import importlib
import pkgutil
import re
import runpy
from argparse import ArgumentParser
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import pytest

import negas
from negas.command_line import CommandLine
from negas.image_level.scorers import of_score
from negas.options import Options, check_value, option
from negas.scores import SCORES
from tests.helpers.yolo_world import ROOT


@dataclass(frozen=True)
class Fit(Options):
    """Fit something."""

    checkpoint: str = option(help="weights", positional=True)
    out: Path = option(help="file to write")
    tpr: float = option(0.95, help="share of ID boxes to be known, in %", gt=0, lt=1)
    num: int | None = option(None, help="how many", ge=1)
    scores: tuple[str, ...] = option(("negs",), help="names", choices=("negs", "msp"))
    scale: Literal["cosine", "clip_score"] = option("cosine", help="of similarities")
    plots: bool = option(True, help="draw", group="output")
    overwrite: bool = option(False, help="replace files", group="output")
    api_key: str | None = option(None, help="never stored", secret=True, cli=False)
    weight: float | str = option("auto", help="a number or auto", flag="--neg-weight")


def test_the_command_line_follows_from_the_fields(capsys):
    fit = Fit.parse(["a.pth", "--out", "b.json", "--tpr", "0.9", "--scores", "msp", "negs"])
    assert fit == Fit("a.pth", Path("b.json"), tpr=0.9, scores=("msp", "negs"))
    fit = Fit.parse(["a", "--out", "b", "--no-plots", "--overwrite", "--neg-weight", "x"])
    assert (fit.plots, fit.overwrite, fit.weight) == (False, True, "x")
    with pytest.raises(SystemExit):
        Fit.parse(["--help"])
    text = capsys.readouterr().out
    assert "Fit something." in text and "in % (default: 0.95)" in text and "api" not in text
    assert text.index("output:") < text.rindex("--overwrite")
    with pytest.raises(SystemExit):
        Fit.parse(["a.pth"])
    assert "--out" in capsys.readouterr().err


@dataclass(frozen=True)
class More(Options):
    """More of the same command."""

    names: str | tuple[str, ...] | None = option(None, help="a file, or names", group="output")


def test_parts_of_one_command_line_share_headings(capsys):
    parser = ArgumentParser()
    Fit.add_to(parser)
    More.add_to(parser)
    text = parser.format_help()
    assert text.count("output:") == 1 and text.index("--overwrite") < text.rindex("--names")
    args = parser.parse_args(["a", "--out", "b", "--names", "c.txt"])
    assert More.from_args(args).names == "c.txt"  # not a list of one
    assert More(names=["a", "b"]).names == ("a", "b")


def test_a_word_that_may_be_missing_may_stand_behind_options():
    parser = CommandLine()
    parser.add_argument("config")
    parser.add_argument("checkpoint", nargs="?")
    parser.add_optional_value("--resume", "auto", metavar="CHECKPOINT")
    for given in (["c", "w"], ["c", "--resume", "w"], ["--resume=x", "c", "w"]):
        args = parser.parse_args(given)
        assert (args.config, args.checkpoint) == ("c", "w") and args.resume != "w"
    assert parser.parse_args(["c", "--resume"]).checkpoint is None
    with pytest.raises(SystemExit):
        parser.parse_args(["a", "b", "c"])


def test_a_value_that_may_be_left_out_takes_no_word_of_another(capsys):
    parser = CommandLine()
    parser.add_argument("file", nargs="*")
    parser.add_optional_value(
        "--resume", "auto", endings=(".pth",), metavar="CHECKPOINT", help="go on"
    )
    for given, resume in (
        (["--resume", "a"], "auto"),
        (["--res", "a"], "auto"),
        (["a", "--res", "x.pth"], "x.pth"),  # as MMDetection's train.py takes it
        (["--resume", "a", "--resume", "x.pth"], "x.pth"),
        (["a", "--resume=b"], "b"),
        (["--resume=b=c", "a"], "b=c"),
        (["a"], None),
    ):
        assert vars(parser.parse_args(given)) == dict(file=["a"], resume=resume)
    assert parser.parse_args(["--", "--resume"]).file == ["--resume"]
    assert "--resume[=CHECKPOINT]: go on" in parser.format_help()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (dict(tpr=1.0), r"tpr must lie in \(0, 1\), got 1.0"),
        (dict(tpr=float("nan")), "tpr must be finite, got nan"),
        (dict(tpr="0.9"), "tpr must be a number, got '0.9'"),
        (dict(tpr=True), "tpr must be a number, got True"),
        (dict(num=0), "num must be at least 1, got 0"),
        (dict(num=1.5), "num must be a whole number, got 1.5"),
        (dict(num=10**400), r"num is too large, got 10+…"),
        (
            dict(scores=("nega",)),
            "scores must be one of negs, msp; got 'nega'; did you mean 'negs'",
        ),
        (dict(scores=(1,)), "scores must be a list, each entry a text, got 1"),
        (dict(scores="negs"), "scores must be a list, got 'negs'"),
        (dict(scale="cos"), "scale must be one of cosine, clip_score; got 'cos'"),
        (dict(plots=1), "plots must be true or false, got 1"),
        (dict(weight=float("inf")), "weight must be finite"),
    ],
)
def test_wrong_values_are_named(given, text):
    with pytest.raises(ValueError, match=text):
        Fit("a.pth", Path("b.json"), **given)


def test_an_empty_path_is_not_the_folder_one_is_in(capsys):
    with pytest.raises(SystemExit):
        Fit.parse(["a.pth", "--out", " "])
    assert "argument --out: it is empty; name a path" in capsys.readouterr().err


def test_an_empty_value_is_not_the_default():
    with pytest.raises(ValueError, match=r"^--names is empty; give a value, or leave it out"):
        More.parse(["--names", ""])
    assert More.parse([]).names is None and More(names="").names == ""


def test_keys_of_an_object_are_texts():
    with pytest.raises(ValueError, match=r"^a: its keys must be texts, got 5"):
        check_value("a", {5: 1}, dict[str, int])
    check_value("a", {5: 1}, dict)


def test_errors_of_the_command_line_name_flags():
    with pytest.raises(ValueError, match=r"^--neg-weight must be finite"):
        parser = ArgumentParser()
        Fit.add_to(parser)
        args = parser.parse_args(["a", "--out", "b"])
        args.weight = float("nan")
        Fit.from_args(args)
    with pytest.raises(ValueError, match=r"^--tpr must lie"):
        Fit.parse(["a", "--out", "b", "--tpr", "7"])
    with pytest.raises(ValueError, match=r"^tpr must lie"):
        Fit("a", Path("b"), tpr=7.0)


def test_settings_files():
    fit = Fit.from_settings(dict(checkpoint="a", out=Path("b"), scores=["msp"]), "the preset 'p'")
    assert fit.scores == ("msp",)
    for settings, text in (
        (dict(checkpoint="a", out=Path("b"), tprr=1), "unknown key 'tprr'; did you mean 'tpr'"),
        (dict(checkpoint="a"), "the preset 'p' lacks the key 'out'"),
        (dict(checkpoint="a", out=Path("b"), num=0), "the preset 'p': num must be at least 1"),
        ([], "the preset 'p' must be an object"),
    ):
        with pytest.raises(ValueError, match=text):
            Fit.from_settings(settings, "the preset 'p'")


def test_only_what_was_given():
    parser = ArgumentParser()
    Fit.add_to(parser, only_given=True)
    assert vars(parser.parse_args(["a", "--num", "3"])) == dict(checkpoint="a", num=3)


def test_the_record_is_json_without_secrets():
    record = Fit("a", Path("b"), scores=["msp"], api_key="hush").record()
    assert record["out"] == "b" and record["scores"] == ["msp"] and "api_key" not in record


# --- every command --------------------------------------------------------------------------------
# What has no range in its declaration, and who looks at it instead.
FREE = {
    "limits": "two numbers that rise; PageOptions asks for that",
    "tau": "scores have no common range",
    "counts": "Calibration: for people",
    **{each.name: "the score looks" for kind in SCORES.values() for each in fields(kind)},
    "mean": "of pixels, in whatever unit",
    **dict.fromkeys(("generator", "permutation"), "no numbers, but arrays"),
}


def every_options():
    """All dataclasses of options of the package and of tools/."""
    for module in pkgutil.walk_packages(negas.__path__, "negas."):
        if not module.name.startswith(("negas.compat", "negas.app.page")):  # has its own packages
            importlib.import_module(module.name)
    scripts = sorted((ROOT / "tools").rglob("*.py"))
    kept = [runpy.run_path(str(path), run_name="not_main") for path in scripts]
    for score, kind in SCORES.items():
        if not kind.needs_embeddings:
            of_score(score)  # builds its options when it is first asked for
    found, queue = [], [Options]
    while queue:
        below = queue.pop().__subclasses__()
        found, queue = found + below, queue + below
    assert len(kept) > 20
    return [cls for cls in found if not cls.__module__.startswith("tests")]


def test_every_number_of_every_command_has_a_range(monkeypatch):
    for folder in ("tools/dev", "tools/emoji_world"):
        monkeypatch.syspath_prepend(str(ROOT / folder))
    free = set()
    for cls in every_options():
        for each in fields(cls):
            about, text = each.metadata, str(each.type)
            number = re.search(r"\b(int|float)\b", text) and "Literal" not in text
            bound = not {about.get(key) for key in ("ge", "gt", "le", "lt")} <= {None}
            if number and not bound and about.get("choices") is None:
                free.add((cls.__name__, each.name))
    assert "limits" in {name for _, name in free}
    assert {one for one in free if one[1] not in FREE} == set()

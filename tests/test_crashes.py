"""Every command that writes: killed at any step on disk, it ends as if nothing had been."""

import json
import shutil
from pkgutil import resolve_name

import pytest

from negas.evaluation.result_files import RESULTS_FILE
from negas.labels import NegativeLabelBank
from tests.helpers.chat_server import answer, chat_server, names_reply
from tests.helpers.commands import call_tool
from tests.helpers.fake_runs import ID_NAMES, SETS
from tests.helpers.killed import Killed, killed_at
from tests.helpers.shipped_emoji import CONFIG, WEIGHTS, draw_scenes
from tests.helpers.tiny_test import tiny_test
from tests.helpers.yolo_world import ROOT

CLIP = ROOT / "data/emoji_world/tiny_clip"
DETECTOR = (ROOT / CONFIG, WEIGHTS)
MINE = ("mine_labels", "dog", "bus", "--work-dir", "OUT/mine", "--out", "OUT/bank.json")
LABELS = ("--source", "file", "--candidates", "MADE/words.txt", "--overwrite")
COMMANDS = {  # by name: options, where WORK is a work dir and OUT a folder that may be there
    "score": ("score", "WORK", "--bootstrap", 0, "--rotations", 0, "--out", "OUT"),
    "report": ("report", "WORK", "--out", "OUT"),
    "compare, Markdown": ("compare", "WORK", "--out", "OUT/table.md"),
    "compare, JSON": ("compare", "WORK", "--out", "OUT/table.json"),
    "audit": (
        "audit_labels", ROOT / "data/labels/voc.json", "--ood", "zebra", "--json", "OUT/a.json"
    ),
    "page": ("html_report", "WORK", "--pictures", 0, "--out", "OUT/page.html"),
    "pictures": (
        "html_report", "WORK", "--pictures", 0, "--out", "OUT/page.html", "--show-dir", "OUT/all"
    ),
    "scenes": ("make_emoji_world", "--num", 1, "--splits", "id_val", "--out", "OUT"),
    "calibration": (
        "calibrate", *DETECTOR, "--ann-file", "MADE/annotations/id_val.json",
        "--img-dir", "MADE/id_val", "--out", "OUT/c.json",
    ),
    "attention": ("show_attention", *DETECTOR, "MADE/id_val", "--out-dir", "OUT"),
    "number of labels": (
        "choose_num_labels", "WORK", "--bank", "MADE/bank.json", "--min-boxes", 1, "--out", "OUT",
        "--save-bank", "OUT/chosen.json",
    ),
    "labels of a list": (*MINE, *LABELS, "--refine", "wordnet", "--select", "none"),
    "labels by texts": (
        *MINE, *LABELS, "--select", "visual", "--no-prototypes", "--encoder", CLIP, "--num", 2
    ),
    "labels of a model": (
        *MINE, "--overwrite", "--select", "none", "--refine", "both", "--num-candidates", 4,
        "--model", "m", "--base-url", "SERVER",
    ),
}  # fmt: skip
FEW = {  # every so many steps
    "page": 4, "pictures": 29, "scenes": 3, "audit": 2, "attention": 6, "labels of a model": 5
}  # fmt: skip


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tiny_test(tmp_path_factory.mktemp("made") / "work", sets=SETS).out_dir


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = draw_scenes(tmp_path_factory.mktemp("scenes"), 2)
    (folder / "words.txt").write_text("wolf\nkite\npoodle\nvase\n")
    NegativeLabelBank(tuple(ID_NAMES), ("zebra", "fork")).save(folder / "bank.json")
    return folder


@pytest.fixture(scope="module")
def server():
    """Answers by the question alone, as a model with a seed does."""

    def reply(handler):
        question = told.requests[-1]["messages"][-1]["content"]
        names = ("fox", "vase") if "already_listed" in question else ("tent", "shed")
        answer("no" if "yes or no" in question else names_reply(*names))(handler)

    with chat_server(reply) as told:
        yield told.url


def written(folder):
    """What is there, but for what a kill leaves until another process removes it."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and not (file.name.startswith(".") and file.suffix == ".tmp")
    }


def whole(file, content, end):
    """Whether a file is what it will be, or an earlier state of one that grows turn by turn."""
    if file == "mine/candidates.json":
        return set(json.loads(content)["candidates"]) <= set(json.loads(end)["candidates"])
    if file.startswith("manifest/"):  # says what is being made before any picture is there
        unfinished = json.loads(end) | dict(files={})
        return json.loads(content) in (unfinished, json.loads(end))
    return end.startswith(content) if file.endswith(".jsonl") else content == end


@pytest.fixture(autouse=True)
def no_long_work(monkeypatch):
    monkeypatch.setattr("negas.reports.html.report.svg_uri", lambda draw: "data:,")  # 3 s a page
    for place in ("negas.apis.fit.calibrate", "negas.labels.wordnet.WordNet.load"):
        monkeypatch.setattr(place, once(resolve_name(place)))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def once(work):
    """What is done at the first call only: it writes nothing."""
    found = []

    def remembered(*given, **more):
        if not found:
            found.append(work(*given, **more))
        return found[0]

    return remembered


@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_that_is_run_again_ends_as_one_that_was_not(
    work, made, server, tmp_path, capsys, name
):
    before, out = written(work), tmp_path / "out"

    def run():
        named = dict(WORK=work, OUT=out, MADE=made, SERVER=server)
        words = [str(word) for word in COMMANDS[name]]
        for key, path in named.items():
            words = [word.replace(key, str(path)) for word in words]
        assert call_tool(*words) == 0, capsys.readouterr().err

    with killed_at(9999, out) as seen:
        run()
    wanted = written(out)
    assert wanted and len(seen) >= 2
    run()
    assert written(out) == wanted, "again"
    for step in range(0, len(seen), FEW.get(name, 1)):
        shutil.rmtree(out)
        with killed_at(step, out), pytest.raises(Killed):
            run()
        for file, content in written(out).items():
            end = wanted.get(file, content)  # what is not there at the end is a cache
            assert whole(file, content, end), f"a part of {file} after step {step}: {seen[step]}"
        run()
        assert written(out) == wanted, seen[step]
    assert written(work) == before
    capsys.readouterr()


def test_pictures_are_painted_again_but_never_over_those_of_a_set(work, tmp_path, capsys):
    data = shutil.copytree(work.parent / "data", tmp_path / "data")
    shutil.copytree(work, tmp_path / "work")
    page = ("html_report", tmp_path / "work", "--pictures", 0, "--show-dir")
    for _ in range(2):
        assert call_tool(*page, tmp_path / "shown") == 0
    results = json.loads((work / RESULTS_FILE).read_text())
    pictures = {file: file.read_bytes() for file in work.parent.glob("data/*/*.png")}
    assert results["sets"].keys() <= {file.parent.name for file in pictures}
    assert call_tool(*page, work.parent / "data") == 2
    assert "--show-dir: " in (err := capsys.readouterr().err) and "is an input" in err
    assert pictures == {file: file.read_bytes() for file in pictures} and data.is_dir()

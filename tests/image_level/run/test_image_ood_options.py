"""Options, sets and draws of image-level runs (the command: tests/tools/test_image_ood.py)."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from negas.embeddings.images import ImageItem
from negas.image_level.image_sets import ImageSet
from negas.image_level.registry import METHODS, find_method
from negas.image_level.run.data import training_items
from negas.image_level.run.options import ImageOodOptions, SetSpec, parse_method_options

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("far=some/folder", dict(name="far", folder="some/folder")),
        ("far=a=b", dict(name="far", folder="a=b")),
        ("far=list.txt", dict(name="far", list="list.txt")),
        ("far=list.txt@root", dict(name="far", list="list.txt", root="root")),
        ("far=x.json@img", dict(name="far", ann_file="x.json", img_dir="img")),
        (
            "far=x.json@img@run/records/far.npz",
            dict(name="far", ann_file="x.json", img_dir="img", detections="run/records/far.npz"),
        ),
    ],
)
def test_sets_of_the_command_line(text, expected):
    assert SetSpec.from_text(text, group="far") == SetSpec(group="far", **expected)


def test_the_id_set_needs_no_name():
    assert SetSpec.from_text("x/y=z", name="id") == SetSpec("id", folder="x/y=z")


@pytest.mark.parametrize("text", ["x=a@b", "x=a.txt@b@c", "x=a.json@", "x=a.json@b@c@d"])
def test_sets_that_cannot_be_read(text):
    with pytest.raises(ValueError, match="cannot be read; write FOLDER"):
        SetSpec.from_text(text)


def test_groups_are_near_and_far():
    with pytest.raises(ValueError, match="group must be one of near, far; got 'middle'"):
        SetSpec("x", group="middle", folder="f")


def test_method_options_are_json_or_text():
    found = parse_method_options(["a.x=1", "a.y=true", 'b.z={"k": [1]}', "b.w=far_only", "a.v=x=y"])
    assert found == {
        "a": {"x": 1, "y": True, "v": "x=y"},
        "b": {"z": {"k": [1]}, "w": "far_only"},
    }


def test_templates_and_scales_are_the_methods_own_unless_said():
    def template(name, given=(), common=None):
        return find_method(name).settle(dict(given), common).template

    def scale(name, given=(), common=None):
        return find_method(name).settle(dict(given), None, common, 37.0).scale

    own = {"neglabel": "neglabel", "mcm": "mcm", "eoe": "mcm", "adaneg": "openood", "csp": "csp"}
    assert {name: template(name) for name in own} == own and template("energy") == "clip"
    assert template("neglabel", {}, "plain") == "plain"
    assert template("neglabel", {"template": "clip"}, "plain") == "clip"
    assert (scale("neglabel"), scale("neglabel", {}, "encoder")) == (100.0, 37.0)
    assert (scale("adaneg", {}, "50"), scale("adaneg", {}, "encoder")) == (50.0, 37.0)
    assert (scale("mcm", {}, "encoder"), scale("mcm", {"scale": 2}, "encoder")) == (1.0, 2)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("neglabel", {"groups": 4}),
        ("ants", {"authors_code": True, "eta": 0.3}),
        ("interneg", {"inversion": {"steps": 2}, "update": "batch"}),
        ("tanl", {}),
    ],
)
def test_methods_are_tried_before_long_work(method, options):
    found = find_method(method)
    found.check(found.settle(options), 3, 8)
    with pytest.raises(ValueError, match=f"{method} has the unknown key 'nothing'"):
        found.settle(options | {"nothing": 1})


@pytest.mark.parametrize(
    "file",
    [*sorted((ROOT / "negas/image_level/run").glob("*.py")), ROOT / "negas/reports/image_level.py",
     ROOT / "tools/image_ood.py", ROOT / "tools/dev/benchmark_image.py"],
    ids=lambda file: file.name,
)  # fmt: skip
def test_nothing_asks_for_a_method_by_its_name(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare):
            asked = {c.value for c in ast.walk(node) if isinstance(c, ast.Constant)}
            assert not asked & set(METHODS), f"{file.name}:{node.lineno}"


def test_what_methods_declare():
    needs = {name: set(method.needs) for name, method in METHODS.items()}
    assert needs["mcm"] == set() and needs["adaneg"] == needs["csp"] == {"negatives"}
    assert needs["interneg"] == {"negatives", "proxies", "inversion"}
    assert needs["tanl"] == {"negatives", "noise"} and needs["ants"] == {"negatives", "captions"}
    offline, online = ["mcm", "neglabel", "csp", "eoe"], ["adaneg", "interneg", "ants", "tanl"]
    assert [METHODS[name].online for name in (*offline, *online)] == [False] * 4 + [True] * 4
    assert {name for name in (*offline, *online) if not METHODS[name].turned} == {"mcm", "ants"}
    assert (METHODS["csp"].title, METHODS["ants"].title) == ("CSP", "ANTS")
    assert find_method("negs").title == "NegS" and find_method("negs").turned
    with pytest.raises(ValueError, match="a run has negatives, proxies"):
        replace(METHODS["mcm"], needs=frozenset({"luck"}))


def test_a_score_hands_its_options_on():
    options = find_method("neglabel").settle({"groups": 4, "shuffle": False})
    assert options.record()["groups"] == 4 and options.record()["log_odds"] is False
    for given, sentence in (
        ({"groups": "4"}, "neglabel: groups must be a whole number, got '4'"),
        ({"generator": "x"}, "neglabel: generator must be a whole number or a Generator"),
        ({"scale": 0}, "neglabel: scale must be greater than 0"),
        ({"template": "x"}, "neglabel: template 'x' is neither"),
    ):
        with pytest.raises(ValueError, match=sentence):
            find_method("neglabel").settle(given)


def test_training_images_are_drawn_by_seed_and_class():
    items = [ImageItem(f"{i}.png", labels=(0, 1) if i == 0 else (i % 2,)) for i in range(40)]
    images = ImageSet("train", items)
    first = training_items(images, ["a", "b"], 5, seed=0)
    assert first == training_items(images, ["a", "b"], 5, seed=0)
    assert first != training_items(images, ["a", "b"], 5, seed=1)
    assert [len(group) for group in first] == [5, 5]
    assert all(label in item.labels for label, group in enumerate(first) for item in group)
    everything = training_items(images, ["a", "b"], 100, seed=0)
    assert [len(group) for group in everything] == [20, 21]  # image 0 shows both


def test_options_refuse_what_is_unknown():
    with pytest.raises(ValueError, match="there is no bank; give --bank"):
        ImageOodOptions.from_settings({"encoder": "x"})
    given = {"encoder": "x", "bank": "b", "id": {"folder": "f"}, "ood": {"id": {"folder": "g"}}}
    with pytest.raises(ValueError, match="the OOD set 'id': the name is taken"):
        ImageOodOptions.from_settings(given)
    given["ood"] = {"far": {"folder": "g"}}
    with pytest.raises(ValueError, match="the captioner: type must be one of names, server"):
        ImageOodOptions.from_settings(given | {"captioner": {"type": "blip"}})
    assert ImageOodOptions.from_settings(given | {"about": "x"}).ood[0].name == "far"


@pytest.mark.parametrize(
    ("text", "reason"), [("../up=folder", "slash"), ("folder", "has no name; write NAME=folder")]
)
def test_a_set_without_a_usable_name(text, reason):
    with pytest.raises(ValueError, match=reason):
        SetSpec.from_text(text, group="near")

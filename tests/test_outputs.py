"""Outputs of all commands: never onto an input, whole, under names that stay in their folder."""

import errno
import os
import re
import runpy
import stat
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from importlib import import_module
from types import SimpleNamespace

import pytest

from negas import files
from negas.files import (
    append_lines,
    check_file,
    check_name,
    check_names,
    cut_name,
    find_files,
    own_inputs,
    protect,
    read_json,
    read_lines,
    refuse_input,
    whole_file,
    write_json,
    write_text,
)
from negas.options import Options, option
from tests.helpers.commands import call_tool
from tests.helpers.yolo_world import ROOT

CONFIG = next((ROOT / "configs/negas").glob("stock*tiny*.py"))

# Fields that name what a command writes; whoever adds another one finds it here
OUTPUTS = {"out", "out_dir", "work_dir", "show_dir", "json_file", "save_bank", "cache"}
OUTPUTS |= {"link_images", "csv", "dir", "web"}
READ = {("HtmlOptions", "work_dir")}  # of the test that is shown


def all_options():
    """All classes of options of all commands."""
    loaded = []
    for tool in sorted((ROOT / "tools").rglob("*.py")):
        if "Options" in tool.read_text("utf-8") and tool.parent.name != "emoji_world":
            sys.path.insert(0, str(tool.parent))
            try:
                loaded.append(runpy.run_path(str(tool)))
            finally:
                sys.path.pop(0)
    for file in (ROOT / "negas").rglob("*.py"):  # commands import them late
        if re.search(r"^class \w+\([^)]*Options\)", file.read_text("utf-8"), re.MULTILINE):
            import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    waiting, found = [Options], []
    assert loaded  # classes live as long as their modules
    while waiting:
        for cls in waiting.pop().__subclasses__():
            waiting.append(cls)
            found.append(cls)
    return found


def test_every_option_that_names_an_output_says_so():
    named = set()
    for cls in all_options():
        for each in fields(cls):
            own = not cls.__module__.startswith("tests")
            if own and each.metadata and (cls.__name__, each.name) not in READ:
                is_output = bool(each.metadata.get("output"))
                assert is_output == (each.name in OUTPUTS), f"{cls.__name__}.{each.name}"
                named |= {each.name} if is_output else set()
    assert named == OUTPUTS


WAYS = (".write_text(", ".write_bytes(", "imwrite(", "savefig(", "np.savez", "page.save(")


def test_every_file_is_written_by_the_one_way():
    """Other ways to write would not know of inputs."""
    found = []
    for path in [*(ROOT / "negas").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            whole = {"partial", "stream"} & set(re.findall(r"\w+", line))
            if any(way in line for way in WAYS) and not whole:
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    allowed = (
        "negas/files/npz.py",
        "negas/evaluation/collect.py",
        "reliability.py",
        "setup_env.py",
        "mutate.py",
    )
    assert [line for line in found if not any(name in line for name in allowed)] == []


# --- inputs ---------------------------------------------------------------------------------------
def options_of(*argv):
    @dataclass(frozen=True)
    class CopyOptions(Options):
        """Copy."""

        source: tuple[str, ...] = option(help="what", positional=True)
        out: str | None = option(None, help="where", output=True)

    return CopyOptions.parse([str(each) for each in argv])


@pytest.mark.parametrize("form", ["{}", "SET={}", "{}@folder", "other,{}"])
@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_an_output_that_is_an_input_is_refused(tmp_path, form, link):
    source, out = tmp_path / "a.json", tmp_path / "a.json"
    source.write_text("{}")
    if link:
        out = tmp_path / "b.json"
        link(source, out)
    with own_inputs():
        with pytest.raises(FileExistsError, match="--out: .*is an input of this command"):
            options_of(form.format(source), "--out", out)
        for write in (write_text, lambda path, text: append_lines(path, [text])):
            with pytest.raises(FileExistsError, match="is an input"):
                write(out, "new")
        with pytest.raises(FileExistsError, match="is an input"):
            check_file(out, "--out")
    assert source.read_text() == "{}"


def test_what_a_command_has_read_is_an_input_until_it_ends(tmp_path):
    path, own = tmp_path / "a.json", tmp_path / "own.json"
    write_json(path, {})
    write_json(own, {})
    with own_inputs():
        read_json(path)
        read_json(own, own=True)
        write_json(own, [1])
        with pytest.raises(FileExistsError, match="is an input"):
            write_json(path, [1])
    write_json(path, [2])
    assert read_json(path) == [2] and read_json(own) == [1]


def test_folders_and_new_files_are_no_inputs(tmp_path):
    with own_inputs():
        protect(tmp_path, tmp_path / "new", "a\0b", "")
        assert options_of(tmp_path, "--out", tmp_path).out == str(tmp_path)
        write_text(tmp_path / "new", "x")
        write_text(tmp_path / "new", "y")
        refuse_input(tmp_path / "none")


COMMANDS = {  # each with an output that is what it reads
    "calibrate": ["{config}", "{file}", "--out", "{file}"],
    "audit_labels": ["{file}", "--ood", "dog", "--json", "{file}"],
    "choose_num_labels": ["run", "--bank", "{file}", "--save-bank", "{file}"],
    "compare": ["{file}", "--out", "{file}"],
    "mine_labels": ["{file}", "--out", "{file}", "--overwrite"],
    "html_report": ["run", "--ann", "id={file}", "--out", "{file}"],
    "prepare_data": [
        "coco-ood",
        "--ann",
        "{file}",
        "--id",
        "dog",
        "--out",
        "{file}",
        "--overwrite",
    ],
    "emoji_world/export_weights": ["{file}", "{file}"],
    "dev/benchmark": ["--text", "{file}", "--out", "{file}"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_writes_onto_its_input(tmp_path, monkeypatch, capsys, command):
    file = tmp_path / "a.json"
    file.write_text('["dog"]')
    monkeypatch.syspath_prepend(str((ROOT / f"tools/{command}.py").parent))
    argv = [part.format(file=file, config=CONFIG) for part in COMMANDS[command]]
    assert call_tool(command, *argv) == 2
    assert "is an input of this command" in capsys.readouterr().err
    assert file.read_text() == '["dog"]'


@pytest.mark.parametrize(
    ("command", "marks"),
    [
        (["compare", "none", "--out"], "### \n|---|"),
        (["audit_labels", "none", "--ood", "dog", "--json"], '{"num_ood_classes": 1}'),
        (["html_report", ".", "--out"], "<!DOCTYPE html> OOD detection report</title>"),
        (["choose_num_labels", "none", "--bank", "none", "--save-bank"], '{"choice_of_num": 1}'),
    ],
)
def test_only_an_earlier_result_is_replaced(tmp_path, monkeypatch, capsys, command, marks):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "mine.md"
    for content, more, refused in [("my notes", [], True), ("my notes", ["--overwrite"], False)] + [
        (marks, [], False)
    ]:
        out.write_text(content)
        assert call_tool(*command, out, *more) == 2  # there is nothing to be read
        assert ("is no earlier result" in capsys.readouterr().err) == refused
        assert out.read_text() == content


# --- temporary files ------------------------------------------------------------------------------
def test_a_place_to_write_cannot_be_guessed_and_has_the_usual_rights(tmp_path):
    before = os.umask(0o027)
    try:
        places = []
        for _ in range(2):
            with whole_file(tmp_path / "a.txt") as partial:
                places.append(partial.name)
                assert stat.S_ISREG(partial.lstat().st_mode)
                partial.write_text("x")
    finally:
        os.umask(before)
    assert places[0] != places[1] and str(os.getpid()) not in places[0].split(".")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_a_link_is_followed_and_the_null_device_stays(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.txt").symlink_to("real/a.txt")
    write_text(tmp_path / "link.txt", "x")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real/a.txt").read_text() == "x"
    write_text("/dev/null", "x")
    assert not os.path.isfile("/dev/null")


def test_what_killed_writers_left_is_removed_and_what_is_being_written_stays(tmp_path):
    left = tmp_path / ".a.txt.0123456789abcdef.tmp"
    left.write_text("half")
    own = tmp_path / ".a.txt.tmp"
    own.write_text("somebody else's")
    target = tmp_path / ".link.0123456789abcdef.tmp"
    target.symlink_to(own)
    with whole_file(tmp_path / "a.txt") as partial:
        assert not left.exists()
        files._tidied.clear()  # as another process would
        write_text(tmp_path / "b.txt", "x")
        assert partial.exists()
        partial.write_text("whole")
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert own.read_text() == "somebody else's" and target.is_symlink()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EDQUOT])
def test_what_the_system_refuses_names_the_file_and_what_to_do(tmp_path, number):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(OSError, match=r"a\.json' cannot be written \(.*\); .*another place"):
        with whole_file(path) as partial:
            partial.write_text("half")
            raise OSError(number, os.strerror(number))
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.json"]


def test_errors_of_reading_inside_are_left_alone(tmp_path):
    with pytest.raises(FileNotFoundError, match="other"), whole_file(tmp_path / "a"):
        open(tmp_path / "other")


def test_a_full_disk_is_told_from_other_faults_of_a_writer(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="PytorchStreamWriter"), whole_file(tmp_path / "a"):
        raise RuntimeError("PytorchStreamWriter failed writing file")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(OSError, match="free some space"), whole_file(tmp_path / "a"):
        raise RuntimeError("PytorchStreamWriter failed writing file")


# --- names ----------------------------------------------------------------------------------------
NAMES = ["", " ", ".", "..", ".hidden", "a/b", "../../x", "/a", "a\\b", "a\0", "a\nb", "\x1b[31m"]
NAMES += [" a", "a" * 101, "é" * 51, 5, None, "id", "ID", "Id_Val", "a\udcff", "a\u202eb"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_cannot_be_a_file_is_refused(name):
    with pytest.raises(ValueError, match="the set .*: the name ") as caught:
        check_name(name, "the set", ("id", "id_val"))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 250


def test_other_names_are_let_through_and_twins_are_not():
    check_names(["near", "far OOD", "räder", "日本", "a" * 100, "a.b", "Id2"], "the set", ("id",))
    with pytest.raises(ValueError, match="'Near': the name is taken"):
        check_names(["near", "Near"], "the set")


def test_long_names_are_cut_to_what_file_systems_take():
    assert cut_name("a.png") == "a.png"
    for name in ("x" * 300 + ".png", "日" * 100 + ".jpeg", os.fsdecode(b"\xff" * 254)):
        short = cut_name(name)
        assert (
            len(os.fsencode(short)) <= 200
            and os.path.splitext(short)[1] == os.path.splitext(name)[1]
        )


def test_names_that_are_no_utf8_are_written_and_read_back(tmp_path):
    name = os.fsdecode(b"bad\xff\x1b.png")
    write_json(tmp_path / "a.json", {"file_name": name})
    append_lines(tmp_path / "a.jsonl", [{"file_name": name}])
    write_text(tmp_path / "a.md", name)
    assert (
        read_json(tmp_path / "a.json")
        == read_lines(tmp_path / "a.jsonl")[0][0]
        == {"file_name": name}
    )
    assert b"\\udcff" in (tmp_path / "a.md").read_bytes()


def test_lines_survive_a_line_that_a_kill_cut(tmp_path):
    path = tmp_path / "new/a.jsonl"
    append_lines(path, [1, {"a": float("nan")}])
    with path.open("ab") as file:
        file.write(b'{"half": ')
    append_lines(path, ["x", "y"])
    assert read_lines(path) == ([1, {"a": None}, "x", "y"], 1)


def test_what_is_left_out_of_a_folder_is_counted(tmp_path):
    for name in ("b.PNG", "a.jpg", "c.gif", "d.txt", "e.txt", ".hidden", "f", "sub/g.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "dead.png").symlink_to("nowhere")
    (tmp_path / "sub/loop").symlink_to(tmp_path)
    found, others = find_files(tmp_path, (".png", ".jpg"))
    assert [path.name for path in found] == ["a.jpg", "b.PNG"]
    assert others == "1 .gif, 2 .txt, 1 dead link, 1 sub-folder, 1 without ending"
    found, others = find_files(tmp_path, (".png",), below=True)
    assert [path.name for path in found] == ["b.PNG", "g.png"] and "sub-folder" not in others


def test_inputs_of_one_thread_are_not_those_of_another(tmp_path):
    """A program may call Inferencer in several threads, whose blocks overlap."""
    file = tmp_path / "a.txt"
    file.touch()
    inside, leave = threading.Event(), threading.Event()

    def other():
        with own_inputs():
            protect(file)
            with pytest.raises(FileExistsError):
                refuse_input(file)
            inside.set()
            assert leave.wait(20)

    with ThreadPoolExecutor(1) as pool:
        with own_inputs():
            ended = pool.submit(other)
            assert inside.wait(20)
            refuse_input(file)
        leave.set()
        ended.result()
    protect(file)
    refuse_input(file)


@pytest.mark.parametrize("left", ["", " ", ".json", "tables/.MD"])
@pytest.mark.parametrize(
    "command",
    [
        ["report", "run", "--out"],
        ["compare", "run", "--out"],
        ["score", "run", "--out"],
        ["html_report", "run", "--out"],
        ["test", CONFIG, "a.pth", "--work-dir"],
        ["train", CONFIG, "--work-dir"],
        ["infer", "a.png", CONFIG, "a.pth", "--out-dir"],
    ],
    ids=lambda command: command[0],
)
def test_what_an_unset_variable_leaves_is_no_output(tmp_path, monkeypatch, capsys, command, left):
    monkeypatch.chdir(tmp_path)
    assert call_tool(*command, left) == 2
    told = f"{command[-1]} is empty; name what" if not left.strip() else "without a name; name what"
    assert told in capsys.readouterr().err
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("empty", ["", " "])
def test_an_output_that_is_empty_is_refused(empty):
    with pytest.raises(ValueError, match="--out is empty"):
        options_of("a.json", "--out", empty)

"""tools/mine_labels.py with a model behind a real HTTP server: turns, failures, kills, keys."""

import json
import os
from pathlib import Path

import pytest

from negas.labels import NegativeLabelBank
from tests.helpers.chat_server import chat_server, error, names_reply
from tests.helpers.commands import tool_said
from tests.helpers.tiny_qwen3 import write_tiny_qwen3

KEY = "sk-test-0123456789abcdef"
FIRST, SECOND = names_reply("tent", "Shed", "dogs"), names_reply("fox", "vase", "tents")
ALL = ("tent", "shed", "fox", "vase")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_BASE_URL", "NEGAS_LLM_MODEL", "NEGAS_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def command(*args):
    given = ["dog", "bus", "--out", "bank.json", "--work-dir", "work", "--select", "none"]
    return [*given, *map(str, args)]


def ask(server, *args):
    return command("--model", "m", "--base-url", server.url, "--num-candidates", 4, *args)


def run(argv, capsys):
    return tool_said(capsys, "mine_labels", *argv)


def stored(name):
    return json.loads(Path("work", f"{name}.json").read_text(encoding="utf-8"))


def test_several_turns_make_a_bank(capsys):
    with chat_server(FIRST, SECOND) as server:
        code, out, _ = run(ask(server, "--context", "voc", "--per-turn", 7, "--seed", 3), capsys)
    assert code == 0 and "negative labels" in out and "written: bank.json" in out
    bank = NegativeLabelBank.load("bank.json")
    assert (bank.id_labels, bank.neg_labels) == (("dog", "bus"), ALL)
    made = bank.provenance["candidates"]
    assert made["model"] == {"model": "m", "server": server.url}
    assert (made["prompt"], made["turns"], made["seed"], made["stopped"]) == (
        "complex", 2, 3, "enough",
    )  # fmt: skip
    turns = stored("candidates")["turns"]
    assert [turn["answer"] for turn in turns] == [FIRST, SECOND]
    assert turns[0]["refused"] == {"dogs": "is the ID label 'dog'"}
    users = [request["messages"][1]["content"] for request in server.requests]
    assert "List 7 things" in users[0] and "everyday photographs" in users[0]
    assert json.loads(users[1].split("Data:\n")[1])["already_listed"] == ["tent", "shed"]


def test_what_was_found_before_a_failure_is_not_asked_for_again(capsys):
    with chat_server(FIRST, error(401, f"bad key {KEY}")) as server:
        code, out, err = run(ask(server), capsys)
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    assert code == 2 and len(lines) == 1 and "check the API key" in lines[0]
    assert stored("candidates")["candidates"] == ["tent", "shed"] and not Path("bank.json").exists()
    with chat_server(SECOND) as elsewhere:  # on another port
        assert run(ask(elsewhere), capsys)[0] == 0
    assert NegativeLabelBank.load("bank.json").neg_labels == ALL
    assert len(elsewhere.requests) == 1
    assert '"already_listed": ["tent", "shed"]' in elsewhere.requests[0]["messages"][1]["content"]


def test_a_finished_run_asks_nothing_and_needs_no_key(capsys, monkeypatch):
    with chat_server(FIRST, SECOND) as server:
        run(ask(server), capsys)
    before = Path("bank.json").read_bytes()
    monkeypatch.delenv("OPENAI_API_KEY")
    code, out, err = run(ask(server), capsys)
    assert code == 2 and "bank.json exists; give another --out, or --overwrite" in err
    assert run(ask(server, "--overwrite"), capsys)[0] == 0
    assert Path("bank.json").read_bytes() == before


def test_other_inputs_are_made_anew_and_the_old_answers_stay(capsys):
    with chat_server(FIRST, SECOND) as server:
        run(ask(server), capsys)
        code, out, err = run(ask(server, "--prompt", "simple", "--overwrite"), capsys)
    assert code == 0 and len(server.requests) == 2 + 4  # three turns bring nothing new
    said = " ".join(err.split())
    assert "was made with other inputs (prompt, prompt text): made anew, the old one is" in said
    assert Path("work/candidates.previous.json").exists()
    assert NegativeLabelBank.load("bank.json").neg_labels == ("fox", "vase", "tents")
    assert "note: only 3 of 4 candidates" in out


@pytest.mark.parametrize("debug", [False, True])
def test_the_key_is_nowhere(capsys, tmp_path, monkeypatch, debug):
    if debug:
        monkeypatch.setenv("NEGAS_DEBUG", "1")
    Path("key.txt").write_text("sk-file-" + KEY + "\n")
    secret = "sk-file-" + KEY
    echo = json.dumps(["tent", "shed", f"key {secret}"])
    leak = error(403, f"{secret} is not allowed")
    with chat_server(echo, leak) as server:
        argv = command("--model", "m", "--base-url", server.url, "--api-key-file", "key.txt")
        shown = [run([*argv, "--dry-run"], capsys), run(argv, capsys)]
        server.replies = [names_reply("fox", "vase")]
        shown.append(run([*argv, "--num-candidates", "4"], capsys))
    assert [code for code, *_ in shown] == [0, 2, 0] and secret in server.keys[0]
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "key.txt"]
    assert {"bank.json", "candidates.json"} <= {path.name for path in files}
    text = str(shown) + "".join(path.read_text("utf-8") for path in files)
    assert KEY not in text and "[key]" in text


def test_dry_run_does_nothing(capsys):
    with chat_server(FIRST) as server:
        code, out, _ = run(ask(server, "--dry-run", "--refine", "wordnet"), capsys)
    assert code == 0 and server.requests == [] and os.listdir() == []
    for part in (
        "2 ID classes: dog, bus",
        "until 4",
        '"known_classes": ["dog", "bus"]',
        "refined",
        "work/candidates.json will be made",
        "3. selection (none, all)",
        "4. bank: bank.json",
    ):
        assert part in out  # fmt: skip


def test_a_local_model_that_babbles_is_one_sentence(capsys, tmp_path):
    model = write_tiny_qwen3(tmp_path / "qwen3", context=2048)
    argv = command("--source", "local", "--model", model, "--max-new-tokens", 5, "--retries", 1)
    code, _, err = run(argv, capsys)
    assert code == 2 and "answered 2 times in a row without a list of names" in err
    settings = stored("candidates")["inputs"]["model"]
    assert (settings["temperature"], settings["top_p"], settings["max_new_tokens"]) == (0.7, 0.8, 5)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--base-url", "http://localhost/v1"], "no model is named; give --model"),
        (["--source", "local"], "--source local needs a model"),
        (["--source", "file"], "give --candidates FILE"),
        (["--source", "file", "--candidates", "no.txt"], "candidate file 'no.txt' does not exist"),
        (["--api-key-file", "no.txt"], "the key file 'no.txt' cannot be read"),
        (["--num", "0"], "--num must be at least 1"),
        (["--select", "visual"], "--select visual needs a CLIP model: give --encoder"),
        (["--select", "visual", "--encoder", "a/b"], "give --ann, or leave the visual filter out"),
        (["--select", "interneg", "--encoder", "a/b"], "needs a COCO json of ID training images"),
        (
            ["--select", "visual", "--encoder", "a/b", "--ann", "no.json", "--images", "."],
            "--ann 'no.json' does not exist; check it, or leave the visual filter out",
        ),
        (["--refine", "llm", "--source", "file", "--candidates", "c"], "use --refine wordnet"),
        (["--out", "."], "is a directory; name the json file"),
        (["--out", "/proc/x/b.json"], "--out: '/proc/x/b.json' cannot be written"),
        (["--keep-fraction", "2"], "--keep-fraction must lie in (0, 1]"),
        (["--max-per-class", "0"], "--max-per-class must be at least 1, got 0"),
        (["--seed", "-1"], "--seed must be at least 0, got -1"),
        (["--min-similarity", "nan"], "--min-similarity must be finite"),
        (["--base-url", "http://[::1/v1", "--model", "m"], "the base URL is malformed"),
    ],
)
def test_bad_options_are_one_sentence_before_any_work(capsys, args, message):
    code, _, err = run(command(*args), capsys)
    assert code == 2 and message in " ".join(err.split()) and "Traceback" not in err
    assert not Path("bank.json").exists() and not Path("work/candidates.json").exists()

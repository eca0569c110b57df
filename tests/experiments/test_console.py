"""A run's terminal is short and calm; its log file holds everything."""

import logging
import re
import sys
import warnings
from contextlib import redirect_stdout
from io import StringIO

import pytest
import torch
from mmengine.logging import MMLogger

from negas.compat.checkpoint import load_checkpoint
from negas.experiments import console
from negas.experiments.console import QuietRunner, short_console
from negas.experiments.preflight import check_checkpoint
from negas.models.checkpoint import check_base
from tests.helpers.commands import run_tool
from tests.helpers.tiny_coco import EMOJI, EMOJI_GROUNDING_DINO, emoji_project
from tests.helpers.yolo_world import ROOT

FRIGHTENING = r"do not match|missing keys|unexpected key|kept as they are|meshgrid|deprecated|\*"
TABLES = r"Config:|System environment|Hooks will be|loading annotations|Average Precision"


@pytest.mark.slow
@pytest.mark.parametrize("base", [EMOJI, EMOJI_GROUNDING_DINO])
def test_training_and_test_of_weights_without_text_encoder(tmp_path, monkeypatch, capfd, base):
    monkeypatch.chdir(ROOT)
    epochs = dict(train_cfg__max_epochs=1, train_cfg__val_interval=1, model__use_nega=False)
    config, work = emoji_project(tmp_path, count=3, base=base, **epochs), tmp_path / "work"
    file = torch.load(tmp_path / "base.pth", weights_only=False)
    texts = ("backbone.text_model.", "language_model.")
    kept = {key: value for key, value in file["state_dict"].items() if not key.startswith(texts)}
    assert len(kept) < len(file["state_dict"])
    torch.save(dict(state_dict=kept), tmp_path / "base.pth")
    capfd.readouterr()
    for tool, given in (("train", ()), ("test", (work / "epoch_1.pth",))):
        assert run_tool(tool, config, *given, "--work-dir", work) == 0
        said, errors = capfd.readouterr()
        logged = [line for line in said.splitlines() if " - mmengine - " in line]
        assert 3 < len(logged) <= 18, said
        assert len(said.splitlines()) <= 60, "tables included"
        assert not re.search(f"{FRIGHTENING}|{TABLES}|WARNING", "\n".join(logged)), said
        assert not re.search(f"{TABLES}|Loads checkpoint", said) and "Warning" not in errors
        log = max(work.glob("*/*.log"), key=lambda path: path.stat().st_mtime).read_text()
        assert "base_checkpoint = " in log or "base_checkpoint='" in log
        for part in ("Config:", "System environment:", "Hooks will be", "loading annotations"):
            assert part in log


@pytest.fixture
def log(tmp_path):
    """Messages on the terminal and in the file of a logger as the runner makes it, by level."""

    class Bare(QuietRunner):
        def __init__(self, name):
            self._log_dir, self._timestamp, self._experiment_name = str(tmp_path), name, name

    def write(level, *messages):
        with redirect_stdout(StringIO()) as terminal:
            logger = Bare(f"{tmp_path.name}-{level}").build_logger(level)
            for number, text in messages:
                logger.log(number, text)
        return terminal.getvalue(), (tmp_path / f"{tmp_path.name}-{level}.log").read_text()

    yield write
    for name in list(MMLogger._instance_dict):
        if name.startswith(tmp_path.name):
            del MMLogger._instance_dict[name]


MESSAGES = [
    (logging.INFO, "Config:\nmodel = 1"),
    (logging.INFO, "\n+-----+\n| a table of the user |"),
    (logging.WARNING, "look out"),
    (logging.ERROR, "Config:\nof an error"),
    (logging.INFO, "Epoch(test) [1/1]  " + "a: 1  " * 300),
    (logging.INFO, "Epoch(test) [1/1]  coco/bbox_mAP: 0.5"),
]


def test_the_level_of_the_config_holds(log):
    shown, file = log("INFO", *MESSAGES)
    assert "model = 1" not in shown and "a: 1" not in shown
    assert "of the user" in shown and "bbox_mAP: 0.5" in shown
    assert "look out" in shown and "of an error" in shown
    assert "model = 1" in file and "a: 1" in file and "look out" in file
    shown, _ = log("DEBUG", *MESSAGES)
    assert "model = 1" in shown and "a: 1" in shown
    shown, file = log("WARNING", *MESSAGES)
    assert "look out" in shown and "of the user" not in shown + file


def test_what_libraries_print_goes_to_the_log_and_what_users_print_does_not(monkeypatch):
    logged = []
    monkeypatch.setattr(MMLogger, "info", lambda self, text, **_: logged.append(text))
    with redirect_stdout(StringIO()) as terminal, short_console():
        print("loading annotations into memory...")
        print("Done (t=0.00s)")
        print("Done with my own hook")
        print()
        print(" Average Precision  (AP) @[ IoU=0.50:0.95 ] = 0.1")
        sys.stdout.writelines(["a\n", "b\n"])
    assert terminal.getvalue() == "Done with my own hook\n\na\nb\n"
    assert [text[:7] for text in logged] == ["loading", "Done (t", " Averag"]


@pytest.mark.parametrize(("first", "count"), [(True, 1), (False, 0)])
def test_one_process_warns_for_all(monkeypatch, first, count):
    monkeypatch.setattr(console, "is_main_process", lambda: first)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with short_console():
            warnings.warn("the weights are odd", stacklevel=1)
    assert len(seen) == count


@pytest.mark.parametrize("look", [check_checkpoint, load_checkpoint, check_base])
def test_missing_weights_name_the_page_with_addresses(look):
    with pytest.raises(FileNotFoundError, match="'none.pth' does not exist.*data/README.md.*Weigh"):
        look("none.pth")
    page = (ROOT / "data/README.md").read_text().partition("## Weights")[2]
    assert "SHA-256" in page and "https://download.openmmlab.com" in page

"""What commands share: readers that leave early."""

import gc
import logging
import subprocess
import sys
from argparse import ArgumentParser

import pytest
import torch

from negas.cli import add_config_options, lasting_imports, load_config, user_errors
from tests.helpers.yolo_world import ROOT

PACKAGES = """
assert False, "MMCV==1.7.0 is used but incompatible"
"""
COMMAND = """
from negas.cli import user_errors

@user_errors
def main():
    for i in range(20000):
        print(i)
    return 3

raise SystemExit(main())
"""


def test_the_garbage_collector_leaves_imports_alone():
    try:
        with pytest.raises(ModuleNotFoundError), lasting_imports():
            assert not gc.isenabled()
            import negas.no_such_module  # noqa: F401
        assert gc.isenabled() and gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("early", [True, False])
def test_a_reader_that_leaves_early_gets_no_error(early):
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "0\n"
    if not early:
        process.stdout.read()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == (141 if early else 3)


@pytest.mark.parametrize("text", ["foo", "=3", "a..b=1", ".a=1", "a=[1,(2]"])
def test_overrides_have_a_key_and_a_value(capsys, text):
    parser = ArgumentParser()
    add_config_options(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--cfg-options", "a.b=1", text])
    said = capsys.readouterr().err
    assert "argument --cfg-options: " in said and (repr(text) in said or "rackets" in said)
    args = parser.parse_args(["--cfg-options", "a.b=[1,2]", "c=x=y"])
    assert args.cfg_options == {"a.b": [1, 2], "c": "x=y"}


def test_overrides_that_do_not_fit_are_not_taken_for_a_broken_config(tmp_path):
    config = tmp_path / "config.py"
    config.write_text("model = dict(type='A')\nval_dataloader = None\n")
    assert load_config(str(config), {"model.type": "B"}).model.type == "B"
    for given in ({"val_dataloader.dataset.indices": 8}, {"model.type.x": 1}):
        with pytest.raises(ValueError, match="--cfg-options do not fit config .*config.py': "):
            load_config(str(config), given)


def test_a_log_file_shows_control_characters(tmp_path):
    handler = logging.FileHandler(tmp_path / "run.log")
    log = logging.getLogger("negas.test_of_logs")
    log.addHandler(handler)

    @user_errors
    def command():
        log.warning("results are in %s", "a\x1b[31mred")

    assert command() == 0
    log.warning("b\x1b[0m")
    log.removeHandler(handler)
    handler.close()
    said = (tmp_path / "run.log").read_text().splitlines()
    assert said == [r"results are in a\x1b[31mred", "b\x1b[0m"]


class _Lost(torch.utils.data.Dataset):
    """Pictures of which the file of one is gone."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 2:
            raise FileNotFoundError(2, "No such file or directory", "scenes/000002.png")
        return index


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_a_worker_misses_is_one_sentence(capsys, workers):
    @user_errors
    def main():
        list(torch.utils.data.DataLoader(_Lost(), num_workers=workers))

    assert main() == 2
    said = capsys.readouterr().err.splitlines()[0]
    assert "scenes/000002.png" in said and "No such file" in said
    assert "Traceback" not in said and len(said) < 120


def test_a_package_that_does_not_import_is_not_the_configs_fault(tmp_path, monkeypatch):
    (tmp_path / "mmdet").mkdir()
    (tmp_path / "mmdet/__init__.py").write_text(PACKAGES)
    (tmp_path / "own_module.py").write_text("import nothing_of_the_kind")
    for name, says in (
        ("mmdet", "does not work here: MMCV==1.7.0 is used but incompatible.*`negas doctor`"),
        ("own_module", "cannot be read .*own_module"),
    ):
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "mmdet", raising=False)
        config = tmp_path / f"{name}_config.py"
        config.write_text(f"custom_imports = dict(imports=['{name}'], allow_failed_imports=False)")
        with pytest.raises((ImportError, ValueError), match=says):
            load_config(str(config))

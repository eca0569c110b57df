"""``tools/test.py --preset``: the names of ``tools/score.py``, refused before any work."""

import runpy

import pytest
from mmengine.config import Config

from tests.helpers.commands import ROOT, run_tool

add_presets = runpy.run_path(str(ROOT / "tools/test.py"))["add_presets"]


def test_presets_reach_the_metric():
    one = Config(dict(test_evaluator=dict(type="OODMetric", presets=("vos",))))
    add_presets(one, ["vos", "siren"])
    assert one.test_evaluator.presets == ["vos", "siren"]
    several = Config(dict(test_evaluator=[dict(type="CocoMetric"), dict(type="OODMetric")]))
    add_presets(several, ["matched"])
    assert several.test_evaluator[1].presets == ["val_f1", "matched"], "beside the metric's own"
    assert "presets" not in several.test_evaluator[0]


def test_presets_need_the_metric():
    with pytest.raises(ValueError, match="test_evaluator has no OODMetric"):
        add_presets(Config(dict(test_evaluator=dict(type="CocoMetric"))), ["vos"])


def test_an_unknown_preset_is_refused_at_once(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("NEGAS_DEBUG", raising=False)
    config = ROOT / "configs/negas/stock_yolo-world-tiny_emoji-world.py"
    work = tmp_path / "work"
    assert run_tool("test", config, "none.pth", "--work-dir", work, "--preset", "voc") == 2
    assert "there is no preset 'voc'; choose of val_f1, vos, siren" in capsys.readouterr().err
    assert not work.exists()

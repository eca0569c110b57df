"""tools/dev/benchmark_image.py runs and reports what it measured (no claim about its size)."""

import json

import benchmark_image as tool
import image_costs as benchmark
import pytest
import torch


@pytest.mark.slow
def test_every_method_is_measured(tmp_path, monkeypatch, capsys):
    out = tmp_path / "numbers.json"
    command = "benchmark_image.py --images 40 --id-labels 5 --neg-labels 30 --width 8 --rounds 1"
    argv = [*command.split(), "--groups", "3", "--methods", "mcm", "csp", "--out", str(out)]
    monkeypatch.setattr("sys.argv", argv)
    # a fresh process costs an import; it has its own test below
    monkeypatch.setattr(benchmark, "peak_memory", lambda *args, **options: {"mib_peak": 321.0})
    assert tool.main() == 0
    rows = json.loads(out.read_text())["rows"]
    assert list(rows) == ["mcm", "csp"]
    assert all(row["seconds_a"] > 0 and row["ratio"] > 0 for row in rows.values())
    assert rows["csp"]["groups"] == 3
    assert "321 MiB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--images", "0"], "images must be at least 1"),
        (["--methods", "clip"], "there is no method 'clip'"),
        (["--groups", "0"], "groups must be at least 1"),
        (["--rounds", "0"], "--rounds must be at least 1"),
    ],
)
def test_bad_arguments_are_one_sentence(monkeypatch, capsys, arguments, sentence):
    monkeypatch.setattr("sys.argv", ["benchmark_image.py", *arguments])
    assert tool.main() == 2
    assert sentence in capsys.readouterr().err


def test_the_bare_side_is_the_same_score_without_its_precision():
    sizes = benchmark.Sizes(images=700, id_labels=5, neg_labels=30, width=8)
    scored, plain = benchmark.sides("neglabel", sizes)
    torch.testing.assert_close(scored(), plain().double(), atol=1e-5, rtol=0)


def test_peak_memory_of_a_fresh_process():
    sizes = benchmark.Sizes(images=200, id_labels=5, neg_labels=30, width=8)
    memory = benchmark.peak_memory("neglabel", sizes)
    assert 50 < memory["mib_features"] <= memory["mib_peak"]

"""benchmark.py runs and reports ratios of what it measured (no claim about their size)."""

import json
import os
from dataclasses import replace
from pathlib import Path

import benchmark as tool
import neighbor_costs
import numpy as np
import pytest
import step_costs as benchmark

import negas.register  # noqa: F401

ROOT = Path(__file__).resolve().parents[3]
TEXT = dict(yolo_world="data/emoji_world/tiny_clip", grounding_dino="data/emoji_world/tiny_bert")


def tiny(model, **given):
    """A setting of a built-in detector with its own text encoder."""
    file = f"configs/_base_/models/{model}_tiny.py"
    return benchmark.Setting(model=file, text=TEXT[model], labels=3, **given)


@pytest.fixture(autouse=True)
def no_collection(monkeypatch):
    """All modules of a test session make a full collection slow; measured times do not matter."""
    monkeypatch.setattr(benchmark.gc, "collect", lambda: 0)


@pytest.mark.parametrize(
    ("model", "size", "rows"),
    [("yolo_world", 64, 8), pytest.param("grounding_dino", 96, 6, marks=pytest.mark.slow)],
)
def test_all_ratios_are_measured(tmp_path, monkeypatch, capsys, model, size, rows):
    monkeypatch.chdir(ROOT)
    out = tmp_path / "numbers.json"
    command = f"benchmark.py --model configs/_base_/models/{model}_tiny.py --size {size} --batch 1"
    command += f" --text {TEXT[model]} --queries 30 --fit-boxes 60"
    monkeypatch.setattr("sys.argv", [*command.split(), "--rounds", "2", "--out", str(out)])
    # fresh processes cost an import each; memory has its own test below
    monkeypatch.setattr(
        benchmark,
        "peak_memory",
        lambda setting, nega, guide_grad=True: (100.0, 150.0 + nega * (10 + 20 * guide_grad)),
    )
    monkeypatch.setattr(benchmark, "search_memory", lambda setting, words: (100.0, 150.0 + words))
    monkeypatch.setattr(
        neighbor_costs, "neighbor_memory", lambda queries, boxes, device: (50.0, 60.0 + queries)
    )
    assert tool.main() == 0
    report = json.loads(out.read_text())
    assert len(report["rows"]) == rows
    for row in report["rows"].values():
        assert row["seconds_a"] > 0 and row["seconds_b"] > 0 and row["ratio"] > 0
    for name, peak in [("NegAS step", 180), ("NegAS step, fixed guide", 160)]:
        memory = report["memory"][f"{name} / CoOp step"]
        assert memory["ratio"] == pytest.approx(peak / 150)
        assert memory["ratio_above_start"] == pytest.approx((peak - 100) / 50)
    memory = report["memory"]["predict with 500 words / with 1"]
    assert memory["ratio_above_start"] == pytest.approx(550 / 51)
    memory = report["memory"]["KNN of 240 boxes / of 60"]
    assert memory["ratio_above_start"] == pytest.approx(250 / 70)
    assert ("two passes" in capsys.readouterr().out) == (rows == 8)


def test_memory_of_neighbors_is_that_of_a_block():
    before, peak = neighbor_costs.neighbor_memory(500, 300, "cpu")
    assert 0 < before <= peak


def test_both_sides_of_the_neighbors_find_the_same():
    ours, bare = neighbor_costs.neighbors_of(40, 500, "cpu")
    np.testing.assert_allclose(ours() + 1, bare().values[:, -1], atol=1e-3)


def test_pairs_alternate_and_the_first_round_is_not_counted():
    calls = []
    result = benchmark.interleaved(
        lambda: calls.append("a"), lambda: calls.append("b"), 3, "cpu", lambda items: items
    )
    assert "".join(calls) == "baabbaab"
    assert set(result) == {"seconds_a", "seconds_b", "ratio"}


@pytest.mark.parametrize("model", ["yolo_world", "grounding_dino"])
def test_variants_of_the_detector(monkeypatch, model):
    monkeypatch.chdir(ROOT)
    setting = tiny(model)
    for nega, guide in ((True, True), (True, False), (False, True)):
        built = benchmark.build(setting, nega, guide_grad=guide)
        assert (built.use_nega, built.guide_grad, len(built.neg_labels)) == (nega, guide, 3)
    assert not benchmark.build(setting, False, negatives=False).neg_labels


@pytest.mark.parametrize("model", ["yolo_world", "grounding_dino"])
def test_the_other_side_of_a_pair_does_not_look_for_unknown_objects(monkeypatch, model):
    monkeypatch.chdir(ROOT)
    setting = tiny(model, size=320, batch=1)
    built = benchmark.build(setting, False, negatives=False, id_boxes=False).eval()
    assert built.finder is None
    images, samples = benchmark.batch(setting)
    monkeypatch.setattr(benchmark, "batch", lambda setting: (images, samples))
    search, plain = (benchmark.search_of(built, setting, 20), benchmark.predict_of(built, setting))
    for work, looks in ((search, True), (plain, False)):
        samples[0].pop("unknown_instances", None)
        work()
        assert ("unknown_instances" in samples[0]) == looks
        if looks:
            assert 0 < len(samples[0].unknown_instances) <= benchmark.FOUND
        assert "unknown_cells" not in samples[0]
        assert model == "grounding_dino" or len(samples[0].pred_instances) == 0


@pytest.mark.parametrize("model", ["yolo_world", "grounding_dino"])
def test_without_a_text_encoder_it_is_one_of_the_published_size(monkeypatch, tmp_path, model):
    monkeypatch.chdir(ROOT)
    text = benchmark.random_tower(tiny(model), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    sizes = (512, 2048) if model == "yolo_world" else (768, 3072)
    assert (config["hidden_size"], config["intermediate_size"]) == sizes
    assert config["num_hidden_layers"] == 12
    if model == "yolo_world":  # BERT of this size takes seconds to load
        built = benchmark.build(replace(tiny(model), text=text), True)
        once, each = benchmark.texts_of(built)
        for work in (once, each):
            built.prompt.ctx.grad = None
            work()
            assert built.prompt.ctx.grad.abs().sum() > 0


@pytest.mark.slow
def test_a_process_that_dies_is_said():
    with pytest.raises(RuntimeError, match="terminated abruptly"):
        benchmark.in_fresh_process(os._exit, 1)


@pytest.mark.slow
def test_peak_memory_of_a_fresh_process(monkeypatch):
    monkeypatch.chdir(ROOT)
    setting = tiny("yolo_world", size=64, batch=1)
    start, peak = benchmark.peak_memory(setting, nega=True, guide_grad=False)
    assert 100 < start < peak
    start, peak = benchmark.search_memory(setting, 20)
    assert 100 < start < peak

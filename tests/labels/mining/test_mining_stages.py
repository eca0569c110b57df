"""Stage files: kept for the same inputs, moved aside for others, never half written."""

import os

import pytest

from negas.labels.mining.stages import Stage, files_digest


def test_a_result_counts_for_its_inputs_only(tmp_path):
    told = []
    stage = Stage(tmp_path, "candidates", {"seed": 0, "classes": ("dog",)}, told.append)
    assert stage.state() == "none" and stage.load() is None
    stage.save(candidates=["café"])
    same = Stage(tmp_path, "candidates", {"classes": ["dog"], "seed": 0}, told.append)
    assert same.state() == "kept" and same.load()["candidates"] == ["café"] and told == []
    other = Stage(tmp_path, "candidates", {"seed": 1, "classes": ["dog"]}, told.append)
    assert other.state() == "outdated" and other.load() is None
    assert len(told) == 1 and "other inputs (seed): made anew" in told[0]
    assert sorted(os.listdir(tmp_path)) == ["candidates.previous.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_damaged_files_are_made_anew(tmp_path, content):
    told = []
    (tmp_path / "x.json").write_bytes(content)
    stage = Stage(tmp_path, "x", {}, told.append)
    assert stage.state() == "outdated" and stage.load() is None
    assert "cannot be read: made anew" in told[0]


def test_files_digest_follows_content_and_passes_names_through(tmp_path):
    (tmp_path / "weights").write_text("a")
    before = files_digest(tmp_path)
    assert before == files_digest(tmp_path)
    (tmp_path / "weights").write_text("ab")
    assert files_digest(tmp_path) != before
    assert files_digest("openai/clip") == "openai/clip"

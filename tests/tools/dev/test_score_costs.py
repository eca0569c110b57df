"""tools/dev/score_costs.py scores made-up boxes and says what that cost."""

import re

from negas.scores import SCORES
from tests.helpers.commands import call_tool


def test_costs_of_all_scores(capsys):
    assert call_tool("dev/score_costs", 400) == 0
    printed = capsys.readouterr().out
    of_logits = [name for name, score in SCORES.items() if not score.needs_embeddings]
    assert f"400 boxes x 40 logits, {len(of_logits)} scores" in printed
    numbers = re.search(r": ([\d.]+) s .* ([\d.]+) s; peak memory ([\d.]+) GB", printed)
    assert float(numbers[3]) > 0.01 and float(numbers[2]) < 60


def test_too_few_boxes_are_refused(capsys):
    assert call_tool("dev/score_costs", 10) == 2
    error = capsys.readouterr().err
    assert "boxes" in error and "at least 40" in error

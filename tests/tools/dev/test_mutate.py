"""The mutation test breaks what it should, and never the same line twice."""

import mutate
import pytest


@pytest.mark.parametrize(
    ("text", "mutants"),
    [
        ("a < b", {"(a <= b)"}),
        ("a and not b", {"(a or not b)", "(b)"}),
        ("if a:\n    raise b", {"(not (a))", "pass"}),
        ("x: int = 2", {"3"}),
        ("def f(x: Literal[1], y=True) -> Literal[2]: f(x)", {"False", "pass"}),
        ("f'{1 + 2}'", set()),
    ],
)
def test_mutants_of_a_text(tmp_path, monkeypatch, text, mutants):
    monkeypatch.setattr(mutate, "ROOT", tmp_path)
    (tmp_path / "a.py").write_text(text)
    found = mutate.mutants_of(tmp_path / "a.py")
    assert {each.new for each in found} == mutants
    for each in found:
        assert each.applied(text.encode()).decode() == text.replace(each.old, each.new, 1)


def test_lines_are_drawn_once_and_by_the_seed():
    options = [mutate.Mutate(of=("negas/scores",), lines=20, seed=seed) for seed in (0, 0, 1)]
    drawn = [mutate.draw(each) for each in options]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len({(each.file, each.line) for each in drawn[0]}) == 20

"""Turns: until there is enough, without repeats, with retries, and resumable after any answer."""

import json

import pytest

from negas.labels.generate import ChatError, TurnPlan, generate_candidates, get_prompt

ID = ["dog", "bus"]


class Script:
    """A model that says what it is told to, and remembers what it was asked."""

    settings = {"model": "script"}

    def __init__(self, *answers):
        self.answers, self.asked, self.seeds = list(answers), [], []

    def chat(self, messages, seed):
        self.asked.append(json.loads(messages[1]["content"].split("Data:\n")[1]))
        self.seeds.append(seed)
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


def plan(prompt="complex", **options):
    options = {"target": 4, "per_turn": 2, "seed": 10} | options
    return TurnPlan(get_prompt(prompt), ID, **options)


def test_turns_go_on_until_there_is_enough():
    model = Script('["tent", "Dogs"]', '["tents", "shed"]', '["fox", "vase", "oar"]')
    saved = []
    found, reason = generate_candidates(
        model, plan(), on_turn=lambda turns, c: saved.append((len(turns), list(c.names)))
    )
    assert found.names == ["tent", "shed", "fox", "vase", "oar"] and reason == "enough"
    assert model.seeds == [10, 11, 12]
    assert [ask.get("already_listed") for ask in model.asked] == [None, ["tent"], ["tent", "shed"]]
    assert saved[:2] == [(1, ["tent"]), (2, ["tent", "shed"])]


def test_it_stops_when_nothing_new_comes():
    model = Script('["tent"]', '["tents"]')
    turns = []
    found, reason = generate_candidates(model, plan(patience=3), turns)
    assert found.names == ["tent"] and reason == "nothing new" and len(model.asked) == 4
    assert turns[1].refused == {"tents": "repeats 'tent'"} and not turns[1].useless


def test_useless_answers_are_retried_with_another_seed():
    model = Script("I cannot.", "", '["tent", "shed", "fox", "vase"]')
    turns = []
    found, _ = generate_candidates(model, plan(retries=2), turns)
    assert len(found) == 4 and model.seeds == [10, 11, 12]
    assert [turn.useless for turn in turns] == [True, True, False]


def test_too_many_useless_answers_are_an_error_that_shows_the_last():
    with pytest.raises(ChatError, match=r"3 times in a row .*\(last: 'I am sorry\.'\)"):
        generate_candidates(Script("no", "no", "I\nam sorry."), plan(retries=2))


def test_names_that_are_all_prose_are_useless():
    answer = '["I am sorry", "you should ask me something else, please"]'
    with pytest.raises(ChatError, match="1 times in a row"):
        generate_candidates(Script(answer), plan(retries=0))


def test_only_id_labels_is_an_error():
    with pytest.raises(ChatError, match="gave no usable candidate"):
        generate_candidates(Script('["dog", "Buses"]'), plan())


@pytest.mark.parametrize("kill_at", [1, 2, 3])
def test_after_an_interruption_nothing_is_asked_twice(kill_at):
    answers = ['["tent"]', "prose", '["shed", "dogs"]', '["fox", "vase"]']
    whole, turns = Script(*answers), []
    expected, _ = generate_candidates(whole, plan(), turns)
    first = Script(*answers[:kill_at], ChatError("gone"))
    stored = []
    with pytest.raises(ChatError, match="gone"):
        generate_candidates(first, plan(), stored)
    assert stored == turns[:kill_at]
    second = Script(*answers[kill_at:])
    found, _ = generate_candidates(second, plan(), stored)
    assert (found.names, stored) == (expected.names, turns)
    assert first.asked[:kill_at] + second.asked == whole.asked
    assert first.seeds[:kill_at] + second.seeds == whole.seeds


def test_a_larger_target_goes_on_and_a_smaller_one_asks_nothing():
    turns = []
    generate_candidates(Script('["tent", "shed"]', '["fox", "vase"]'), plan(), turns)
    more = Script('["oar"]')
    assert len(generate_candidates(more, plan(target=5), turns)[0]) == 5
    assert len(more.asked) == 1 and len(turns) == 3
    fewer = Script(ChatError("must not be asked"))
    assert generate_candidates(fewer, plan(target=2), turns)[0].names == ["tent", "shed"]
    assert len(turns) == 3


def test_class_by_class_asks_each_class_once_and_drops_shared_words():
    model = Script('["wolf", "hot dog"]', '["wolf"]')
    found, reason = generate_candidates(model, plan("eoe-near", target=None, per_turn=3))
    assert [ask["focus"] for ask in model.asked] == ID
    assert found.names == ["wolf"] and reason == "all classes asked"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 0}, "target must be at least 1, got 0"),
        ({"per_turn": 0}, "per_turn must be at least 1"),
        ({"retries": -1}, "retries must be at least 0"),
        ({"target": None}, "the prompt 'complex' needs a number of candidates"),
    ],
)
def test_bad_plans(options, message):
    with pytest.raises(ValueError, match=message):
        plan(**options)

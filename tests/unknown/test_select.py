"""Which cells are unknown objects: cases counted by hand, and slow ways to the same numbers."""

import pytest
import torch

from negas.boxes import box_iou
from negas.unknown import (
    UnknownOptions,
    agreement_of_neighbors,
    best_words,
    distinct,
    pick_cells,
    suppress,
    unknown_rows,
    unknown_scores,
)

BOXES = torch.tensor(
    [
        [0.0, 0, 10, 10],
        [1.0, 0, 11, 10],  # IoU 0.82 with the first
        [50.0, 50, 60, 60],
        [52.0, 50, 62, 60],  # IoU 0.67 with the third
        [80.0, 80, 90, 90],
    ]
)
NO_BOXES = torch.zeros(0, 4)


def test_the_cells_of_the_largest_id_logit_meet_words_in_their_order():
    logits = torch.tensor([-9.0, -1.0, -8.0, -2.0, -7.0])
    assert pick_cells(logits, BOXES, (100, 100), 0.4, 4).tolist() == [1, 3]
    assert pick_cells(logits, BOXES, (100, 100), 1.0, 4).tolist() == [0, 1, 2, 3, 4]


def test_a_box_that_is_small_or_larger_than_the_image_is_no_object():
    boxes = torch.tensor([[0.0, 0, 4, 50], [0.0, 0, 4.5, 50], [-50.0, -50, 60, 60]])
    assert pick_cells(torch.zeros(3), boxes, (100, 100), 1.0, 4).tolist() == [1]


def test_a_box_of_which_the_image_shows_a_sliver_is_no_object():
    outside = [[-50.0, 10, 4, 50], [10.0, 77, 50, 99], [-50.0, 10, -1, 50], [10.0, 81, 50, 99]]
    boxes = torch.tensor([*outside, [-50.0, 10, 4.5, 50], [10.0, 75, 50, 99]])
    assert pick_cells(torch.zeros(6), boxes, (80, 100), 1.0, 4).tolist() == [4, 5]


def test_an_image_without_cells_has_none():
    assert pick_cells(torch.zeros(0), NO_BOXES, (9, 9), 0.2, 4).tolist() == []


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_the_best_word_does_not_hang_on_how_many_cells_are_looked_at_at_a_time(chunk, monkeypatch):
    monkeypatch.setattr("negas.unknown.select.CHUNK", chunk * 5)
    logits = torch.randn(23, 5, generator=torch.Generator().manual_seed(0))
    asked = []

    def some(part):
        asked.append(len(logits[part]))
        return logits[part]

    values, words = best_words(some, 5, logits)
    assert torch.equal(values, logits.amax(1)) and torch.equal(words, logits.argmax(1))
    assert max(asked) <= chunk


def test_no_cells_have_no_best_word():
    values, words = best_words(lambda part: None, 5, torch.zeros(0, 4))
    assert values.shape == words.shape == (0,) and words.dtype == torch.long


def test_a_score_takes_off_what_the_id_names_say_and_where_neighbours_disagree():
    options = UnknownOptions(id_weight=0.5, agreement_weight=10)
    words, ids = torch.tensor([2.0, 2.0, 2.0, 2.0]), torch.tensor([-4.0, 1.0, -4.0, 2.0])
    agreement = torch.tensor([1.0, 1.0, 0.6, 1.0])
    found = unknown_scores(words, ids, agreement, options)
    # 2 + 2, 2 - 0.5, 2 + 2 - 4; the last one's ID name is as sure as its word
    want = torch.tensor([4.0, 1.5, 0.0]).sigmoid()
    torch.testing.assert_close(found[:3], want)
    assert found[3] == 0


def test_of_overlapping_cells_the_surest_stays_and_id_boxes_hide_what_they_lie_on():
    scores = torch.tensor([0.5, 0.9, 0.8, 0.3, 0.7])
    options = UnknownOptions()
    rows = unknown_rows(BOXES, scores, NO_BOXES, options, 0.2)
    assert rows.tolist() == [1, 2, 4]
    hiding = torch.tensor([[80.0, 80, 90, 89]])
    assert unknown_rows(BOXES, scores, hiding, options, 0.2).tolist() == [1, 2]
    assert unknown_rows(BOXES, scores, NO_BOXES, options, 0.75).tolist() == [1, 2]
    one = UnknownOptions(max_per_img=1)
    assert unknown_rows(BOXES, scores, NO_BOXES, one, 0.2).tolist() == [1]


def test_a_cell_whose_id_name_is_surer_is_none_even_at_threshold_0():
    assert unknown_rows(BOXES, torch.zeros(5), NO_BOXES, UnknownOptions(), 0.0).tolist() == []


def test_a_higher_threshold_leaves_the_first_of_a_lower_one():
    generator = torch.Generator().manual_seed(1)
    corners = torch.rand(60, 2, generator=generator) * 40
    boxes = torch.cat([corners, corners + 15], 1)
    scores = torch.rand(60, generator=generator)
    low = unknown_rows(boxes, scores, NO_BOXES, UnknownOptions(), 0.1)
    for threshold in (0.3, 0.6, 0.9):
        high = unknown_rows(boxes, scores, NO_BOXES, UnknownOptions(), threshold)
        assert high.tolist() == [row for row in low.tolist() if scores[row] >= threshold]


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_suppression_is_that_of_pairs_and_compares_a_block_at_a_time(block, monkeypatch):
    generator = torch.Generator().manual_seed(2)
    corners = torch.rand(50, 2, generator=generator) * 30
    boxes = torch.cat([corners, corners + 10], 1)
    kept = []
    for row in range(50):
        if all(box_iou(boxes[row : row + 1], boxes[k : k + 1]) <= 0.4 for k in kept):
            kept.append(row)
    compared = []

    def counted(some, others):
        compared.append(len(some))
        return box_iou(some, others)

    monkeypatch.setattr("negas.unknown.select.BLOCK", block)
    monkeypatch.setattr("negas.unknown.select.box_iou", counted)
    assert suppress(boxes, 0.4).tolist() == kept
    assert max(compared) <= block  # all pairs of a large image's cells would fill the memory
    once = len(compared)
    assert suppress(boxes, 0.4, most=3).tolist() == kept[:3]
    assert block > 7 or len(compared) < 2 * once


def test_nothing_is_suppressed_where_nothing_is():
    assert suppress(NO_BOXES, 0.4).tolist() == []
    assert suppress(NO_BOXES, 0.4).dtype == torch.long


def test_of_too_many_cells_those_with_another_ones_box_go_first():
    logits = torch.tensor([0.0, 1.0, 2.0, 3.0, -5.0])
    assert distinct(BOXES, logits, 5).tolist() == [0, 1, 2, 3, 4]
    assert distinct(BOXES, logits, 4).tolist() == [1, 2, 3, 4]  # 0 has the box of 1
    assert distinct(BOXES, logits, 2).tolist() == [2, 3]


def test_neighbours_agree_as_counted_cell_by_cell():
    generator = torch.Generator().manual_seed(3)
    sizes = [(3, 4), (2, 1), (1, 1)]
    corners = torch.rand(2, 15, 2, generator=generator) * 5
    boxes = torch.cat([corners, corners + 6], 2)
    found = agreement_of_neighbors(boxes, sizes)
    start = 0
    for height, width in sizes:
        for image in range(2):
            grid = boxes[image, start : start + height * width].reshape(height, width, 4)
            for y in range(height):
                for x in range(width):
                    beside = [
                        grid[b, a]
                        for b, a in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
                        if 0 <= b < height and 0 <= a < width
                    ]
                    want = 1.0
                    if beside:
                        want = box_iou(grid[y, x][None], torch.stack(beside)).mean()
                    got = found[image, start + y * width + x]
                    torch.testing.assert_close(got, torch.as_tensor(want), atol=1e-6, rtol=0)
        start += height * width


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (dict(score_thr="often"), "score_thr must be a number in [0, 1) or 'calibrated'"),
        (dict(score_thr=1.0), "score_thr must lie in [0, 1)"),
        (dict(score_thr=float("nan")), "score_thr must be finite"),
        (dict(vocabulary=()), "vocabulary is empty"),
        (dict(vocabulary=""), "vocabulary is empty"),
        (dict(id_overlap=0), "id_overlap must lie in (0, 1]"),
        (dict(share=0), "share must lie in (0, 1]"),
        (dict(max_per_img=0), "max_per_img must be at least 1"),
        (dict(id_weight=-1), "id_weight must be at least 0"),
        (dict(score_thresh=0.1), "did you mean 'score_thr'"),
    ],
)
def test_what_cannot_be_is_told_with_its_key(settings, said):
    with pytest.raises(ValueError) as error:
        UnknownOptions.from_settings(settings, "model.test_cfg.unknown", section=True)
    assert said in str(error.value) and "model.test_cfg.unknown" in str(error.value)

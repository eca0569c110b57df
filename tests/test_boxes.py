"""Box geometry: by hand, against a plain loop, torch and numpy alike."""

import numpy as np
import pytest
import torch

from negas.boxes import box_area, box_iou, centers_in

BOXES = np.array([[0, 0, 10, 10], [5, 5, 15, 15], [20, 20, 30, 40], [3, 3, 3, 9]], float)
OTHERS = np.array([[0, 0, 10, 10], [0, 0, 20, 20], [4, 4, 4, 4]], float)


def test_by_hand():
    np.testing.assert_allclose(box_area(BOXES), [100, 100, 200, 0])
    np.testing.assert_allclose(box_iou(BOXES, OTHERS)[0], [1, 0.25, 0])
    np.testing.assert_allclose(box_iou(BOXES, OTHERS)[1], [25 / 175, 0.25, 0])
    np.testing.assert_array_equal(box_iou(BOXES, OTHERS)[3], [0, 0, 0])  # no area: 0, not NaN
    np.testing.assert_array_equal(centers_in(BOXES, OTHERS)[1], [True, True, False])


def loop_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return shared / (sum(areas) - shared)


def test_random_boxes_against_a_loop():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (2, 20, 2))
    first = np.concatenate([corners[0], corners[0] + rng.uniform(1, 30, (20, 2))], 1)
    second = np.concatenate([corners[1], corners[1] + rng.uniform(1, 30, (20, 2))], 1)
    expected = [[loop_iou(a, b) for b in second] for a in first]
    np.testing.assert_allclose(box_iou(first, second), expected, rtol=1e-12)
    np.testing.assert_allclose(box_iou(second, first).T, expected, rtol=1e-12)
    np.testing.assert_allclose(box_iou(first * 3 + 7, second * 3 + 7), expected, rtol=1e-9)


@pytest.mark.parametrize("function", [box_iou, centers_in])
def test_torch_equals_numpy(function):
    tensor = function(torch.from_numpy(BOXES), torch.from_numpy(OTHERS))
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), function(BOXES, OTHERS))
    assert function(BOXES[:0], OTHERS).shape == (0, 3)
    assert function(BOXES, OTHERS[:0]).shape == (4, 0)


def test_refusals():
    with pytest.raises(ValueError, match=r"second boxes must have the shape \[N, 4\]"):
        box_iou(BOXES, OTHERS[0])
    with pytest.raises(ValueError, match="both be torch tensors or both be numpy"):
        box_iou(BOXES, torch.zeros(1, 4))

"""Results of a made-up picture, and a COCO json that lists it."""

import numpy as np

from negas.predictions import Results


def make(**changes):
    """Two boxes (known, flagged) and an unknown object on a picture of 200 x 100 pixels."""
    values = dict(
        boxes=[[10, 20, 60, 80], [0, 0, 50, 40], [100, 50, 200, 100]],
        labels=[1, 0, -1],
        names=["dog", "cat", "unknown"],
        confidence=[0.9, 0.5, 0.75],
        id_score=[0.5, -0.25, np.nan],
        known=[True, False, False],
        unknown_like=["wolf", "statue", "kite"],
        unknown_like_score=[0.25, 0.75, 0.5],
        class_names=("cat", "dog"),
        file_name="photos/a.png",
        size=(200, 100),
    )
    return Results(**values | changes)


def nothing():
    return make()[[]]


def without_verdict():
    return make(known=[None, None, False])


def truth(**changes):
    """A json whose ids overlap with 1..n, in another order."""
    data = dict(
        images=[
            dict(id=2, file_name="photos/b.png", width=200, height=100),
            dict(id=17, file_name="photos/a.png", width=200, height=100),
            dict(id=1, file_name="a.png", width=30, height=30),
        ],
        categories=[
            dict(id=3, name="dog"),
            dict(id=1, name="bird"),
            dict(id=90, name="cat"),
            dict(id=91, name="thing"),
        ],
        annotations=[
            dict(id=1, image_id=17, category_id=3, bbox=[10, 20, 50, 60], area=3000, iscrowd=0)
        ],
    )
    return data | changes

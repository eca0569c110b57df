"""A file as negas export writes it, made by hand: two rows of constants, and an unused one."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from negas.runtime import Letterbox, Metadata

BOXES = [[8, 16, 24, 32], [0, 0, 31, 31], [0, 0, 0, 0]]
ROWS = dict(
    boxes=np.array([BOXES], np.float32),
    labels=np.array([[1, 0, -1]]),
    scores=np.array([[0.9, 0.4, 0.0]], np.float32),
    id_scores=np.array([[0.2, 0.3, 0.0]], np.float32),
    known=np.array([[False, True, False]]),
    unknown_like=np.array([[1, 0, -1]]),
    unknown_like_score=np.array([[0.7, 0.1, 0.0]], np.float32),
)
# a cloud, one under the cat, one that is too weak for most, and an unused row
OBJECTS = dict(
    object_boxes=np.array([[*[[4, 16, 12, 24]] * 3, [0, 0, 0, 0]]], np.float32),
    object_mask=np.array([[True, False, True, False]]),
    object_scores=np.array([[0.8, 0.7, 0.2, 0.0]], np.float32),
    object_like=np.array([[1, 0, 1, -1]]),
    object_like_score=np.array([[0.9, 0.75, 0.3, 0.0]], np.float32),
    object_under=np.array([[-1.0, 0.4, 0.1, -1.0]], np.float32),
)
UNKNOWN = dict(words=["kite", "cloud"], score_thr=0.1, id_score_thr=None, max_per_img=2)


def about(**changes):
    """What the file says about itself."""
    fields = dict(
        version="0",
        detector="Made",
        mode="baked",
        class_names=("cat", "dog"),
        neg_labels=("wolf", "statue"),
        template="{}",
        score="negs",
        score_options={},
        score_thr=0.3,
        tau=0.25,
        calibration=None,
        letterbox=Letterbox((32, 32), (32, 32)),
        weights_sha256="0" * 64,
        base_sha256=None,
        bank_sha256=None,
        unknown=None,
    )
    return Metadata(**fields | changes)


def write_file(path: Path, props: dict[str, str] | None = None, **changes) -> Path:
    """The file; ``changes``: of :func:`about`."""
    kinds = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}
    kinds[np.dtype(bool)] = TensorProto.BOOL
    found = ROWS | (OBJECTS if changes.get("unknown") else {})
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(rows))
        for name, rows in found.items()
    ]
    outputs = [
        helper.make_tensor_value_info(name, kinds[rows.dtype], list(rows.shape))
        for name, rows in found.items()
    ]
    image = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 3, 32, 32])
    inputs = [image]
    if changes.get("unknown"):
        inputs.append(helper.make_tensor_value_info("places", TensorProto.FLOAT, ["places", 6]))
    graph = helper.make_graph(nodes, "made", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    helper.set_model_props(model, about(**changes).props() if props is None else props)
    onnx.save(model, path)
    return path

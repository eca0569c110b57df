import importlib
import subprocess
import sys
import time
import warnings
from types import ModuleType

import numpy as np
import pytest
import torch

from negas import compat
from negas.compat import checkpoint, mmcv_ext


def brute_force(boxes, scores, threshold, offset):
    """The definition, one pair at a time, in float32."""
    boxes, one = boxes.numpy(), np.float32(offset)
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i].item(), i)):
        a, good = boxes[i], True
        for j in kept:
            b = boxes[j]
            w = max(np.float32(0), min(a[2], b[2]) - max(a[0], b[0]) + one)
            h = max(np.float32(0), min(a[3], b[3]) - max(a[1], b[1]) + one)
            areas = [(c[2] - c[0] + one) * (c[3] - c[1] + one) for c in (b, a)]
            with np.errstate(invalid="ignore"):
                if w * h / (areas[0] + areas[1] - w * h) > np.float32(threshold):
                    good = False
                    break
        if good:
            kept.append(i)
    return kept


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("whole_numbers", [False, True])
def test_nms_decides_as_the_definition(offset, threshold, whole_numbers):
    generator = torch.Generator().manual_seed(int(threshold * 10) + offset)
    corner = torch.rand(150, 2, generator=generator) * 40
    boxes = torch.cat([corner, corner + torch.rand(150, 2, generator=generator) * 25], 1)
    scores = torch.rand(150, generator=generator)
    if whole_numbers:  # many exact ties, IoUs exactly at the threshold and empty boxes
        boxes, scores = (boxes / 5).round() * 5, (scores * 10).round() / 10
    kept = mmcv_ext.nms(boxes, scores, iou_threshold=threshold, offset=offset)
    assert kept.dtype == torch.int64
    assert kept.tolist() == brute_force(boxes, scores, threshold, offset)


def test_nms_keeps_a_box_exactly_at_the_threshold():
    boxes = torch.tensor([[0.0, 0, 2, 1], [1, 0, 3, 1]])  # IoU 1 / 3
    third = float(np.float32(1) / np.float32(3))
    scores = torch.tensor([0.5, 0.9])
    assert mmcv_ext.nms(boxes, scores, third, 0).tolist() == [1, 0]
    assert mmcv_ext.nms(boxes, scores, third - 1e-6, 0).tolist() == [1]


def test_nms_ties_go_to_the_lower_index():
    boxes = torch.tensor([[0.0, 0, 1, 1]]).repeat(5, 1)
    assert mmcv_ext.nms(boxes, torch.ones(5), 0.5, 0).tolist() == [0]


def test_nms_takes_nothing_and_tensors_with_gradient():
    assert mmcv_ext.nms(torch.zeros(0, 4), torch.zeros(0), 0.5, 0).shape == (0,)
    boxes = torch.tensor([[0.0, 0, 1, 1]], requires_grad=True)
    assert mmcv_ext.nms(boxes, torch.ones(1, requires_grad=True), 0.5, 0).tolist() == [0]


@pytest.mark.slow
def test_nms_of_30000_boxes_takes_seconds():
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(30_000, 2, generator=generator) * 3000
    boxes = torch.cat([corner, corner + 20], 1)
    start = time.perf_counter()
    kept = mmcv_ext.nms(boxes, torch.rand(30_000, generator=generator), 0.7, 0)
    assert time.perf_counter() - start < 30  # 3 s on an idle core
    assert 25_000 < len(kept) <= 30_000


def test_other_ops_are_refused_by_name_and_dunders_are_absent():
    stand_in = mmcv_ext.StandIn()
    with pytest.raises(RuntimeError, match="mmcv op 'roi_align_forward' needs compiled mmcv.*inst"):
        stand_in.roi_align_forward(1, a=2)
    assert stand_in.nms is mmcv_ext.nms
    assert not hasattr(stand_in, "__path__")


def test_deformable_attention_and_its_gradients():
    compat.install()
    from mmcv.ops.multi_scale_deform_attn import (
        MultiScaleDeformableAttnFunction,
        multi_scale_deformable_attn_pytorch,
    )

    generator = torch.Generator().manual_seed(0)
    shapes = torch.tensor([[4, 5], [2, 3]])
    start = torch.tensor([0, 20])
    value = torch.rand(2, 26, 2, 8, generator=generator)
    where = torch.rand(2, 7, 2, 2, 3, 2, generator=generator)
    weight = torch.rand(2, 7, 2, 2, 3, generator=generator)
    results = []
    for run in (
        lambda v, p, w: MultiScaleDeformableAttnFunction.apply(v, shapes, start, p, w, 64),
        lambda v, p, w: multi_scale_deformable_attn_pytorch(v, shapes, p, w),
    ):
        inputs = [t.clone().requires_grad_() for t in (value, where, weight)]
        output = run(*inputs)
        results.append([output, *torch.autograd.grad(output.square().sum(), inputs)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.fixture
def fake_mmcv(monkeypatch):
    """An mmcv package whose extension behaves as the test says."""
    package = ModuleType("mmcv")
    monkeypatch.setitem(sys.modules, "mmcv", package)
    monkeypatch.delitem(sys.modules, mmcv_ext.NAME, raising=False)
    real = importlib.import_module

    def behave(extension, parent=None):
        def load(name, *rest):
            if name == "mmcv" and parent is not None:
                raise parent
            if name == mmcv_ext.NAME:
                if isinstance(extension, Exception):
                    raise extension
                sys.modules[name] = extension
                return extension
            return real(name, *rest)

        monkeypatch.setattr(importlib, "import_module", load)
        return package

    return behave


def test_a_working_extension_wins(fake_mmcv):
    extension = ModuleType(mmcv_ext.NAME)
    fake_mmcv(extension)
    assert mmcv_ext.install() is False
    assert sys.modules[mmcv_ext.NAME] is extension


def test_a_missing_extension_is_stood_in_for_silently(fake_mmcv):
    package = fake_mmcv(ModuleNotFoundError("No module named 'mmcv._ext'", name=mmcv_ext.NAME))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mmcv_ext.install() is True
        assert mmcv_ext.install() is True  # idempotent
    assert mmcv_ext.is_stand_in() and package._ext is sys.modules[mmcv_ext.NAME]


def test_an_extension_for_another_torch_is_stood_in_for_with_a_warning(fake_mmcv):
    fake_mmcv(ImportError("_ext.so: undefined symbol: _ZN2at4_ops"))
    with pytest.warns(RuntimeWarning, match="undefined symbol.*rebuild mmcv for torch"):
        assert mmcv_ext.install() is True


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ModuleNotFoundError("No module named 'mmcv'", name="mmcv"), r"negas\[lite\]"),
        (ImportError("libGL.so.1: cannot open shared object file"), "libGL.*negas doctor"),
    ],
)
def test_mmcv_itself_missing_or_broken(fake_mmcv, error, sentence):
    fake_mmcv(None, parent=error)
    with pytest.raises(ImportError, match=sentence):
        mmcv_ext.install()


@pytest.mark.slow
def test_install_is_light_and_leaves_torchvision_alone():
    code = (
        "import sys, negas.compat; assert 'torch' not in sys.modules; negas.compat.install(); "
        "negas.compat.install(); bad = {'torchvision', 'mmdet', 'mmyolo'}; "
        "assert not bad & set(sys.modules), bad & set(sys.modules); import mmcv.ops; print('fine')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "fine", done.stderr
    assert done.stderr == ""


def test_noise_that_nobody_can_act_on_is_not_shown(monkeypatch):
    monkeypatch.setattr(compat, "_installed", False)
    for part in (mmcv_ext, checkpoint):
        monkeypatch.setattr(part, "install", lambda: None)
    with warnings.catch_warnings(record=True) as seen:
        warnings.resetwarnings()
        compat.install()
        warnings.warn("torch.meshgrid: in an upcoming release, it will be", stacklevel=1)
        warnings.warn("Warning: The bbox is out of bounds, the drawn bbox", stacklevel=1)
        warnings.warn("the weights are odd", stacklevel=1)
    assert [str(each.message) for each in seen] == ["the weights are odd"]


@pytest.fixture
def torchvision(monkeypatch):
    """A torchvision whose nms is the function given."""

    def put(nms):
        ops = ModuleType("torchvision.ops")
        ops.nms = nms
        monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
        monkeypatch.setitem(sys.modules, "torchvision.ops", ops)
        mmcv_ext._torchvision_nms.cache_clear()

    yield put
    mmcv_ext._torchvision_nms.cache_clear()


def test_a_torchvision_that_works_does_nms(torchvision):
    calls = []

    def nms(boxes, scores, iou_threshold):
        calls.append(iou_threshold)
        return torch.tensor(brute_force(boxes, scores, iou_threshold, 0), dtype=torch.long)

    torchvision(nms)
    boxes = torch.tensor([[0.0, 0, 2, 1], [1, 0, 3, 1]])
    scores = torch.tensor([0.5, 0.9])
    assert mmcv_ext.nms(boxes, scores, 1 / 3, 0).tolist() == [1, 0]
    assert calls[1:] == [float(np.float32(1 / 3))], "as exact as the compiled op"
    assert mmcv_ext.nms(boxes, scores, 0.2, 1).tolist() == [1] and len(calls) == 2, "no offset"


def broken(*args):
    raise RuntimeError("operator torchvision::nms does not exist")


@pytest.mark.parametrize("nms", [broken, lambda boxes, scores, thr: torch.arange(len(boxes))])
def test_a_torchvision_that_does_not_is_left_alone(torchvision, nms):
    torchvision(nms)
    boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1]])
    assert mmcv_ext.nms(boxes, torch.tensor([0.1, 0.2]), 0.5, 0).tolist() == [1]

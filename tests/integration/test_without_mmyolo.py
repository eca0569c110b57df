"""Where mmyolo is not installed, all but YOLO-World works."""

import sys

import pytest

from tests.helpers.commands import run_command
from tests.helpers.grounding_dino import bert_folder
from tests.helpers.tiny_coco import EMOJI, emoji_project
from tests.helpers.yolo_world import ROOT

BLOCKED = """
import runpy, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "mmyolo":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def call(tool, *given):
    tool = ROOT / f"tools/{tool}.py"
    return run_command(sys.executable, "-c", BLOCKED, tool, *given, cwd=ROOT)


# The built-in one has YOLO-World's image backbone; the released ones see by a Swin transformer.
PREDICT = """
import sys, torch
import negas.register
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

init_default_scope("mmdet")
cfg = Config.fromfile("configs/negas/negas_grounding-dino-swin-t_8xb2-20e_voc.py")
cfg.model.language_model.name = sys.argv[1]
cfg.model.num_queries = 20
model = MODELS.build(cfg.model).eval()
sample = DetDataSample(metainfo=dict(
    img_shape=(64, 64), ori_shape=(64, 64), batch_input_shape=(64, 64), scale_factor=(1.0, 1.0)))
with torch.no_grad():
    (found,) = model.predict(torch.rand(1, 3, 64, 64), [sample])
print(len(found.pred_instances), found.pred_instances.id_scores.shape[0], "mmyolo" in sys.modules)
"""


@pytest.mark.slow
def test_a_released_grounding_dino_predicts(tmp_path):
    script = tmp_path / "predict.py"
    script.write_text(PREDICT)
    done = run_command(sys.executable, "-c", BLOCKED, script, bert_folder(), cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    boxes, scored, loaded = done.stdout.split()[-3:]
    assert boxes == scored and int(boxes) > 0 and loaded == "False"


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["score", "image_ood", "mine_labels", "audit_labels"])
def test_commands_without_a_detector(tool):
    done = call(tool, "--help")
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_yolo_world_says_what_is_missing(tmp_path):
    config = emoji_project(tmp_path, count=2, base=EMOJI)
    done = call("test", config, tmp_path / "base.pth", "--work-dir", tmp_path / "work")
    assert done.returncode == 2
    assert "YOLO-World needs mmyolo, which is not installed" in done.stderr


@pytest.mark.slow
def test_the_rooms_without_a_detector(tmp_path):
    rooms = "scores, metrics, labels.mining.run, image_level.run.run, records, unknown".split(", ")
    (tmp_path / "rooms.py").write_text("".join(f"import negas.{room}\n" for room in rooms))
    done = run_command(sys.executable, "-c", BLOCKED, tmp_path / "rooms.py", cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]

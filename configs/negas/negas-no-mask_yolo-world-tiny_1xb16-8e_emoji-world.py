# Ablation: the OOD branch's loss counts object cells, too.
_base_ = "./negas_yolo-world-tiny_1xb16-8e_emoji-world.py"

model = dict(background=dict(enabled=False))

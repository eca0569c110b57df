# Ablation: the OOD branch's loss counts objects, too.
_base_ = "./negas_yolo-world-v2-s_8xb20-30e_voc.py"

model = dict(background=dict(enabled=False))

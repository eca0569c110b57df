# Ablation: the OOD branch's loss counts objects, too.
_base_ = "./negas_grounding-dino-swin-t_8xb2-20e_bdd100k.py"

model = dict(background=dict(enabled=False))

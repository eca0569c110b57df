# Ablation: weight 5 of the OOD branch's loss, in place of 3.
_base_ = "./negas_grounding-dino-swin-t_8xb2-20e_voc.py"

model = dict(loss_ood=dict(alpha=5.0))

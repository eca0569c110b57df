# Ablation: weight 5 of the OOD branch's loss, in place of 3.
_base_ = "./negas_yolo-world-v2-l_8xb20-30e_bdd100k.py"

model = dict(loss_ood=dict(alpha=5.0))

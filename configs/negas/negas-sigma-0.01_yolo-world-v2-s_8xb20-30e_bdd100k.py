# Ablation: noise of standard deviation 0.01 on negative texts, in place of 0.05.
_base_ = "./negas_yolo-world-v2-s_8xb20-30e_bdd100k.py"

model = dict(neck=dict(sigma=0.01))

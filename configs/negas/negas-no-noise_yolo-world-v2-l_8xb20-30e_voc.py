# Ablation: noise of standard deviation 0.0 on negative texts, in place of 0.05.
_base_ = "./negas_yolo-world-v2-l_8xb20-30e_voc.py"

model = dict(neck=dict(sigma=0.0))

# Ablation: noise of standard deviation 0.0 on negative texts, in place of 0.05.
_base_ = "./negas_grounding-dino-swin-t_8xb2-20e_voc.py"

model = dict(noise=dict(sigma=0.0))

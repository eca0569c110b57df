# Another reading: the learned prompt stands before ID labels only.
_base_ = "./negas_grounding-dino-swin-t_8xb2-20e_voc.py"

model = dict(prompt_negatives=False)

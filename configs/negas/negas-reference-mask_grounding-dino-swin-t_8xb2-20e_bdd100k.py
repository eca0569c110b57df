# Another reading: background is judged by the proposal that a query starts from, not by its box.
_base_ = "./negas_grounding-dino-swin-t_8xb2-20e_bdd100k.py"

model = dict(background=dict(boxes="reference"))

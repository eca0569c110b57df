# Another reading: the OOD branch has a loss at every decoder layer, not at the last alone.
_base_ = "./negas_grounding-dino-swin-t_8xb2-20e_bdd100k.py"

model = dict(ood_layers="all")

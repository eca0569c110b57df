# Another reading: loss_ood reaches the prompt through the ID names only, not through the negatives
# that guide the OOD branch. It then needs no graph of its own, which is much faster.
_base_ = "./negas_grounding-dino-swin-t_8xb2-20e_bdd100k.py"

model = dict(guide_grad=False)

# Another reading: loss_ood reaches the prompt through the ID names only, not through the negatives
# too.
_base_ = "./negas_grounding-dino-swin-t_8xb2-20e_bdd100k.py"

model = dict(guide_grad=False)

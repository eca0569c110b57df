# Another reading: loss_ood reaches the prompt through the ID names only, not through the negatives
# too.
_base_ = "./negas_yolo-world-v2-s_8xb20-30e_bdd100k.py"

model = dict(guide_grad=False)

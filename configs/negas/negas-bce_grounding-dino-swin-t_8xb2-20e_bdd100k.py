# Another reading: BCE as the paper writes it, not the focal form of the detector's own loss.
_base_ = "./negas_grounding-dino-swin-t_8xb2-20e_bdd100k.py"

model = dict(loss_ood=dict(type="MaskedBCELoss", loss_weight=1.0))

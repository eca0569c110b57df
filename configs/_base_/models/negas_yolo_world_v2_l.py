# NegAS on YOLO-World v2-L: the prompt "a photo of" is trained, all else is frozen.
_base_ = "./yolo_world_v2_l.py"

model = dict(
    type="NegASYOLOWorldDetector",
    prompt=dict(ctx_init="a photo of", num_ctx=3),
    neck=dict(_delete_=True, type="NegANeck", neck=_base_.model.neck, sigma=0.05),
    background=dict(type="BackgroundMask", rule="overlap"),
    loss_ood=dict(type="MaskedBCELoss", alpha=3.0),
    postprocessor=dict(type="NegSPostProcessor", score="negs"),
)

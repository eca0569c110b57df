# NegAS on EmojiWorld: CoOp prompts plus the OOD branch on background cells (NegA).
_base_ = "./coop_yolo-world-tiny_1xb16-8e_emoji-world.py"

model = dict(
    neck=dict(_delete_=True, type="NegANeck", neck={{_base_.model.neck}}, sigma=0.05),
    use_nega=True,
    background=dict(type="BackgroundMask"),
    loss_ood=dict(type="MaskedBCELoss", alpha=3.0),
)

# NegAS's parts for any YOLO-World: the prompt "a photo of" is trained, all else is frozen.
nega = dict(
    type="NegASYOLOWorldDetector",
    prompt=dict(ctx_init="a photo of", num_ctx=3),
    background=dict(type="BackgroundMask", rule="overlap"),
    loss_ood=dict(type="MaskedBCELoss", alpha=3.0),
    postprocessor=dict(type="OODPostProcessor", score="negs"),
    # The controls and other banks are scored on the recorded region embeddings (2 kB per box).
    test_cfg=dict(keep_logits=True, keep_embeddings=True),
)
nega_neck = dict(type="NegANeck", sigma=0.05)

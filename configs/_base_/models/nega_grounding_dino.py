# NegAS's parts for any Grounding DINO: the prompt "a photo of" is trained, all else is frozen.
nega = dict(
    type="NegASGroundingDINO",
    prompt=dict(ctx_init="a photo of", num_ctx=3),
    noise=dict(sigma=0.05),
    background=dict(type="QueryBackground", rule="center", iou_thr=0.3),
    loss_ood=dict(type="MaskedFocalLoss", alpha=3.0),
    postprocessor=dict(type="OODPostProcessor", score="negs"),
    # The controls and other banks are scored on the recorded queries (1 kB per box).
    test_cfg=dict(keep_logits=True, keep_embeddings=True),
)

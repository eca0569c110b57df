_base_ = ["./grounding_dino_swin_t.py", "./nega_grounding_dino.py"]

model = dict(
    **_base_.nega,
    # The converted weights have no label embedding for denoising queries, and it is frozen here.
    denoising=False,
    # From MMDetection's download page, data/README.md says where.
    base_checkpoint="checkpoints/groundingdino_swint_ogc_mmdet-822d7e9d.pth",
)

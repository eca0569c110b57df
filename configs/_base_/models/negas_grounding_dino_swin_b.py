_base_ = ["./grounding_dino_swin_b.py", "./nega_grounding_dino.py"]

model = dict(
    **_base_.nega,
    # The converted weights have no label embedding for denoising queries, and it is frozen here.
    denoising=False,
    # From MMDetection's download page, data/README.md says where.
    # Trained on COCO and Open Images, too: data/README.md, before you read OOD numbers.
    base_checkpoint="checkpoints/groundingdino_swinb_cogcoor_mmdet-55949c9c.pth",
)

_base_ = ["./mm_grounding_dino_swin_b.py", "./nega_grounding_dino.py"]

model = dict(
    **_base_.nega,
    # From MMDetection's download page, data/README.md says where.
    base_checkpoint="checkpoints/grounding_dino_swin-b_pretrain_obj365_goldg_v3de-f83eef00.pth",
)

_base_ = ["./mm_grounding_dino_swin_t.py", "./nega_grounding_dino.py"]

model = dict(
    **_base_.nega,
    # From MMDetection's download page, data/README.md says where.
    base_checkpoint="checkpoints/grounding_dino_swin-t_pretrain_obj365_goldg_20231122_132602-4ea751ce.pth",
)

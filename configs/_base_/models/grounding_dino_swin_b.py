# Grounding DINO, Swin-B (grounding_dino_swin-b_pretrain_*).
_base_ = "./grounding_dino_swin_t.py"

model = dict(
    backbone=dict(
        pretrain_img_size=384,
        embed_dims=128,
        depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32],
        window_size=12,
        drop_path_rate=0.3,
    ),
    neck=dict(in_channels=[256, 512, 1024]),
)

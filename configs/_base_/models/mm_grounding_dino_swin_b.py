# MM-Grounding-DINO, Swin-B, as released with MMDetection
# (mm_grounding_dino/grounding_dino_swin-b_pretrain_*: newer than mmdet 3.3.0, same shapes).
_base_ = "./grounding_dino_swin_b.py"

model = dict(
    language_model=dict(add_pooling_layer=False),
    bbox_head=dict(num_classes=256, contrastive_cfg=dict(log_scale="auto", bias=True)),
)

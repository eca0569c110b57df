# MM-Grounding-DINO, Swin-T (mm_grounding_dino/grounding_dino_swin-t_pretrain_*).
_base_ = "./grounding_dino_swin_t.py"

model = dict(
    language_model=dict(add_pooling_layer=False),
    bbox_head=dict(num_classes=256, contrastive_cfg=dict(log_scale="auto", bias=True)),
)

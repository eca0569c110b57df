# The built-in benchmark's second detector: Grounding DINO's modules, small, for 160x160 images. The
# image backbone is the built-in YOLO-World's, with its weights.
_base_ = "./grounding_dino_swin_t.py"

num_levels = 3  # strides 8, 16, 32
ffn = dict(feedforward_channels=512)

model = dict(
    num_queries=60,
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0]),
    language_model=dict(name="data/emoji_world/tiny_bert", max_tokens=256, add_pooling_layer=False),
    num_feature_levels=num_levels,
    backbone=dict(
        _delete_=True,
        type="mmyolo.YOLOv8CSPDarknet",
        arch="P5",
        last_stage_out_channels=512,
        deepen_factor=0.33,
        widen_factor=0.25,
        norm_cfg=dict(type="BN", momentum=0.03, eps=0.001),
        act_cfg=dict(type="SiLU", inplace=True),
    ),
    neck=dict(in_channels=[64, 128, 128], num_outs=num_levels),
    encoder=dict(
        num_layers=2,
        layer_cfg=dict(self_attn_cfg=dict(num_levels=num_levels, num_points=2), ffn_cfg=ffn),
        text_layer_cfg=dict(ffn_cfg=ffn),
        fusion_layer_cfg=dict(embed_dim=256, dropout=0.0, drop_path=0.0),
    ),
    decoder=dict(
        num_layers=2, layer_cfg=dict(cross_attn_cfg=dict(num_levels=num_levels), ffn_cfg=ffn)
    ),
    bbox_head=dict(num_classes=400, contrastive_cfg=dict(log_scale="auto", bias=True)),
    dn_cfg=dict(group_cfg=dict(num_dn_queries=40)),
    test_cfg=dict(max_per_img=100, unknown=dict(vocabulary="common"), keep_cells=True),
)

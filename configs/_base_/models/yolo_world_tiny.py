# The built-in benchmark's detector: YOLO-World v2's modules at small widths, for 160x160 images.
_base_ = "./yolo_world_v2_l.py"

deepen_factor = 0.33
widen_factor = 0.25
channels = [256, 512, 512]

model = dict(
    backbone=dict(
        image_model=dict(
            last_stage_out_channels=512, deepen_factor=deepen_factor, widen_factor=widen_factor
        ),
        text_model=dict(model_name="data/emoji_world/tiny_clip", pretrained=True),
    ),
    neck=dict(
        in_channels=channels,
        out_channels=channels,
        embed_channels=[128, 256, 256],
        num_heads=[4, 8, 8],
        deepen_factor=deepen_factor,
        widen_factor=widen_factor,
    ),
    bbox_head=dict(
        head_module=dict(
            in_channels=channels, widen_factor=widen_factor, num_classes=20, prior_size=160
        )
    ),
    test_cfg=dict(
        multi_label=False,
        nms_pre=1000,
        score_thr=0.01,
        nms=dict(type="nms", iou_threshold=0.6, class_agnostic=True),
        max_per_img=50,
        unknown=dict(vocabulary="common"),
        keep_cells=True,
    ),
)

_base_ = "./yolo_world_v2_l.py"

deepen_factor = 1.0
widen_factor = 1.25

model = dict(
    backbone=dict(
        image_model=dict(
            last_stage_out_channels=512, deepen_factor=deepen_factor, widen_factor=widen_factor
        )
    ),
    neck=dict(
        in_channels=[256, 512, 512],
        out_channels=[256, 512, 512],
        embed_channels=[128, 256, 256],
        num_heads=[4, 8, 8],
        deepen_factor=deepen_factor,
        widen_factor=widen_factor,
    ),
    bbox_head=dict(head_module=dict(in_channels=[256, 512, 512], widen_factor=widen_factor)),
)

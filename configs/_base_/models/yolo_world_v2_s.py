_base_ = "./yolo_world_v2_l.py"

deepen_factor = 0.33
widen_factor = 0.5

model = dict(
    backbone=dict(
        image_model=dict(
            last_stage_out_channels=1024, deepen_factor=deepen_factor, widen_factor=widen_factor
        )
    ),
    neck=dict(
        in_channels=[256, 512, 1024],
        out_channels=[256, 512, 1024],
        embed_channels=[128, 256, 512],
        num_heads=[4, 8, 16],
        deepen_factor=deepen_factor,
        widen_factor=widen_factor,
    ),
    bbox_head=dict(head_module=dict(in_channels=[256, 512, 1024], widen_factor=widen_factor)),
)

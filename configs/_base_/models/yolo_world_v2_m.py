_base_ = "./yolo_world_v2_l.py"

deepen_factor = 0.67
widen_factor = 0.75

model = dict(
    backbone=dict(
        image_model=dict(
            last_stage_out_channels=768, deepen_factor=deepen_factor, widen_factor=widen_factor
        )
    ),
    neck=dict(
        in_channels=[256, 512, 768],
        out_channels=[256, 512, 768],
        embed_channels=[128, 256, 384],
        num_heads=[4, 8, 12],
        deepen_factor=deepen_factor,
        widen_factor=widen_factor,
    ),
    bbox_head=dict(head_module=dict(in_channels=[256, 512, 768], widen_factor=widen_factor)),
)

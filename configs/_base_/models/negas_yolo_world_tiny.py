_base_ = ["./yolo_world_tiny.py", "./nega.py"]

model = dict(
    **_base_.nega,
    neck=dict(_delete_=True, **_base_.nega_neck, neck=_base_.model.neck),
    base_checkpoint="data/emoji_world/yolo_world_tiny.safetensors",
)

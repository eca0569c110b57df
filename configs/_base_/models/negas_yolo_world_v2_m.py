_base_ = ["./yolo_world_v2_m.py", "./nega.py"]

model = dict(
    **_base_.nega,
    neck=dict(_delete_=True, **_base_.nega_neck, neck=_base_.model.neck),
    # From YOLO-World's release page (huggingface.co/wondervictor/YOLO-World), file
    # yolo_world_v2_m_obj365v1_goldg_pretrain-c6237d5b.pth
    base_checkpoint="checkpoints/yolo_world_v2_m.pth",
)

_base_ = ["./yolo_world_v2_x.py", "./nega.py"]

model = dict(
    **_base_.nega,
    neck=dict(_delete_=True, **_base_.nega_neck, neck=_base_.model.neck),
    # From YOLO-World's release page (huggingface.co/wondervictor/YOLO-World), file
    # yolo_world_v2_x_obj365v1_goldg_cc3mlite_pretrain-8698fbfa.pth
    base_checkpoint="checkpoints/yolo_world_v2_x.pth",
)

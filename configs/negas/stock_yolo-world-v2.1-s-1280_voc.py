# YOLO-World v2.1 for images of 1280 pixels with NegS, nothing trained.
_base_ = [
    "../_base_/models/negas_yolo_world_v2_s.py",
    "../_base_/datasets/voc_1280.py",
    "../_base_/default_runtime.py",
]

model = dict(
    class_names=_base_.class_names,
    neg_labels="{{ fileDirname }}/../../data/labels/voc.json",
    background_text=" ",
    base_checkpoint="checkpoints/yolo_world_v2.1_s_1280.pth",
    prompt=None,
    use_nega=False,
)

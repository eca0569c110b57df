_base_ = [
    "../_base_/models/negas_yolo_world_v2_s.py",
    "../_base_/datasets/voc.py",
    "../_base_/schedules/prompt_30e.py",
    "../_base_/default_runtime.py",
]

model = dict(
    # From YOLO-World's release page (huggingface.co/wondervictor/YOLO-World), file
    # yolo_world_v2_s_obj365v1_goldg_pretrain-55b943ea.pth
    base_checkpoint="checkpoints/yolo_world_v2_s.pth",
    class_names=_base_.class_names,
    neg_labels="{{ fileDirname }}/../../data/labels/voc.json",
)

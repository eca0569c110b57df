# NegAS: the prompt is trained with the OOD branch on background (NegA); score NegS.
_base_ = [
    "../_base_/models/negas_yolo_world_v2_x.py",
    "../_base_/datasets/voc.py",
    "../_base_/schedules/prompt_30e.py",
    "../_base_/default_runtime.py",
]

model = dict(
    class_names=_base_.class_names,
    neg_labels="{{ fileDirname }}/../../data/labels/voc.json",
)

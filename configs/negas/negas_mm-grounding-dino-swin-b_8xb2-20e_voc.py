# NegAS: the prompt is trained with the OOD branch on background (NegA); score NegS.
_base_ = [
    "../_base_/models/negas_mm_grounding_dino_swin_b.py",
    "../_base_/datasets/voc_grounding_dino.py",
    "../_base_/schedules/prompt_grounding_dino_20e.py",
    "../_base_/default_runtime.py",
]

model = dict(
    class_names=_base_.class_names,
    neg_labels="{{ fileDirname }}/../../data/labels/voc.json",
)

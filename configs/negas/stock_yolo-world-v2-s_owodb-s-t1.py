# Stock YOLO-World on S-OWODB, task 1, plain class names, no negatives: for negas test only.
_base_ = [
    "../_base_/models/negas_yolo_world_v2_s.py",
    "../_base_/datasets/owodb_s_t1.py",
    "../_base_/default_runtime.py",
]

model = dict(
    class_names=_base_.class_names,
    prompt=None,
    use_nega=False,
    postprocessor=dict(score="max_sigmoid"),
)

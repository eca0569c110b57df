# NegAS with YOLO-World on EmojiWorld with shared instances.
_base_ = [
    "../_base_/models/negas_yolo_world_tiny.py",
    "../_base_/datasets/emoji_world_shared.py",
    "../_base_/schedules/prompt_emoji_world.py",
    "../_base_/default_runtime.py",
]

model = dict(class_names=_base_.class_names, neg_labels=_base_.banks + "llm.json")

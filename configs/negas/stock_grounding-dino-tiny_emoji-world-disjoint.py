# Stock Grounding DINO on EmojiWorld with disjoint instances, not tuned.
_base_ = [
    "../_base_/models/negas_grounding_dino_tiny.py",
    "../_base_/datasets/emoji_world_disjoint.py",
    "../_base_/default_runtime.py",
]

model = dict(
    class_names=_base_.class_names,
    neg_labels=_base_.banks + "llm.json",
    use_nega=False,
    prompt=None,
    prefix="a photo of",
)

train_dataloader = None
val_dataloader = None
val_evaluator = None

# Stock YOLO-World on EmojiWorld with shared instances, not tuned.
_base_ = "./coop_yolo-world-tiny_1xb16-8e_emoji-world-shared.py"

model = dict(prompt=None, template="a photo of {}")

train_dataloader = None
train_cfg = None
optim_wrapper = None
param_scheduler = None
val_dataloader = None
val_cfg = None
val_evaluator = None
custom_hooks = None

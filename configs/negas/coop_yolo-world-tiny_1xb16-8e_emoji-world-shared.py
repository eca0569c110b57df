# CoOp prompts with YOLO-World on EmojiWorld with shared instances.
_base_ = "./negas_yolo-world-tiny_1xb16-8e_emoji-world-shared.py"

model = dict(use_nega=False)

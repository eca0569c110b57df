# CoOp prompts on EmojiWorld: the context vectors are trained without the OOD branch.
_base_ = "./negas_yolo-world-tiny_1xb16-8e_emoji-world.py"

model = dict(use_nega=False)

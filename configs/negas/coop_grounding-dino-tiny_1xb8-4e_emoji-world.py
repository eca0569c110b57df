# CoOp prompts on EmojiWorld: the context vectors are trained without the OOD branch.
_base_ = "./negas_grounding-dino-tiny_1xb8-4e_emoji-world.py"

model = dict(use_nega=False)

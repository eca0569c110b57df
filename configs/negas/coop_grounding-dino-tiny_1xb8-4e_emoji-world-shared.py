# CoOp prompts with Grounding DINO on EmojiWorld with shared instances.
_base_ = "./negas_grounding-dino-tiny_1xb8-4e_emoji-world-shared.py"

model = dict(use_nega=False)

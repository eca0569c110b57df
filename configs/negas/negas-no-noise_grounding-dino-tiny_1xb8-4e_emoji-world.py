# Ablation: negative texts without noise.
_base_ = "./negas_grounding-dino-tiny_1xb8-4e_emoji-world.py"

model = dict(noise=dict(sigma=0.0))

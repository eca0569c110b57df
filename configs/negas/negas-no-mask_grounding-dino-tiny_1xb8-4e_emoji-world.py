# Ablation: the OOD branch's loss counts queries on objects, too.
_base_ = "./negas_grounding-dino-tiny_1xb8-4e_emoji-world.py"

model = dict(background=dict(enabled=False))

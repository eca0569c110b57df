# Ablation: negative texts without noise.
_base_ = "./negas_yolo-world-tiny_1xb16-8e_emoji-world.py"

model = dict(neck=dict(sigma=0.0))

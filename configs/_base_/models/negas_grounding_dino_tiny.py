_base_ = ["./grounding_dino_tiny.py", "./nega_grounding_dino.py"]

model = dict(**_base_.nega, base_checkpoint="data/emoji_world/grounding_dino_tiny.safetensors")

# Another reading: the OOD branch teaches the prompt through the ID names only. It then needs no
# graph of its own: two thirds of the training time of negas.
_base_ = "negas_grounding-dino-tiny_1xb8-4e_emoji-world.py"

model = dict(guide_grad=False)

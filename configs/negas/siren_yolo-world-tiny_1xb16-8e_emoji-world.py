# SIREN on EmojiWorld: a head on the frozen detector's embeddings.
_base_ = "./coop_yolo-world-tiny_1xb16-8e_emoji-world.py"

model = dict(type="SIRENYOLOWorldDetector", prompt=None, template="a photo of {}")

optim_wrapper = dict(optimizer=dict(lr=1e-3))
test_evaluator = dict(scores=[*_base_.test_evaluator.scores, "siren_vmf", "siren_knn"])

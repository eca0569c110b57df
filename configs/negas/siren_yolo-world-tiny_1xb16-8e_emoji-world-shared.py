# SIREN on EmojiWorld with shared instances.
_base_ = "./coop_yolo-world-tiny_1xb16-8e_emoji-world-shared.py"

model = dict(type="SIRENYOLOWorldDetector", prompt=None, template="a photo of {}")

optim_wrapper = dict(optimizer=dict(lr=1e-3))
test_evaluator = dict(scores=[*_base_.test_evaluator.scores, "siren_vmf", "siren_knn"])

# CoOp: the same prompt trained without the OOD branch. The negative labels stay, so that all scores
# are reported on its boxes; its own is the confidence.
_base_ = "./negas_yolo-world-v2-x_8xb20-30e_voc.py"

model = dict(use_nega=False, postprocessor=dict(score="max_sigmoid"))

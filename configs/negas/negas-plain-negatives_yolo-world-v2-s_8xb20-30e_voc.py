# Another reading: the learned prompt stands before ID labels only.
_base_ = "./negas_yolo-world-v2-s_8xb20-30e_voc.py"

model = dict(prompt_negatives=False)

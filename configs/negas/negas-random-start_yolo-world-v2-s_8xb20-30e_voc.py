# Another reading: context vectors start at random from the run's seed, not from words.
_base_ = "./negas_yolo-world-v2-s_8xb20-30e_voc.py"

model = dict(prompt=dict(ctx_init=None))

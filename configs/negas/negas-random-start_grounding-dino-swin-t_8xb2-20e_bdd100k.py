# Another reading: context vectors start at random from the run's seed, not from words.
_base_ = "./negas_grounding-dino-swin-t_8xb2-20e_bdd100k.py"

model = dict(prompt=dict(ctx_init=None))

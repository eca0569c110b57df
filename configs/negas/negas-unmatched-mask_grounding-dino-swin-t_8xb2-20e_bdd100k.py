# Another reading: background are all queries that the Hungarian matching leaves over.
_base_ = "./negas_grounding-dino-swin-t_8xb2-20e_bdd100k.py"

model = dict(background=dict(rule="unmatched"))

# Another reading: negatives go the way 'projected' around the fusion, not 'normed'. It matters in
# tests only: test the checkpoint of negas with this config.
_base_ = "./negas_grounding-dino-swin-t_8xb2-20e_voc.py"

model = dict(neg_path="projected")

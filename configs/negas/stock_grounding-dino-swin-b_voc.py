# NegS on stock weights and plain class names, nothing trained: for negas test only.
_base_ = "./negas_grounding-dino-swin-b_8xb2-20e_voc.py"

model = dict(prompt=None, use_nega=False)

train_dataloader = None
train_cfg = None
optim_wrapper = None
param_scheduler = None
custom_hooks = []

# PASCAL VOC and its OOD sets (voc.py), with images as Grounding DINO takes them.
_base_ = ["./voc.py", "./grounding_dino_images.py"]

image_size = None  # the pipelines have ranges
meta_keys = _base_.grounding_dino_meta_keys
train_pipeline = _base_.grounding_dino_train_pipeline
test_pipeline = _base_.grounding_dino_test_pipeline
eval_loader = dict(batch_size=1)
eval_set = dict(pipeline=test_pipeline)

train_dataloader = _base_.grounding_dino_train_loader
val_dataloader = _base_.grounding_dino_eval_loader
test_dataloader = _base_.grounding_dino_eval_loader
ood_dataloaders = dict(
    coco=_base_.grounding_dino_eval_loader, openimages=_base_.grounding_dino_eval_loader
)
test_cfg = dict(ood_dataloaders=ood_dataloaders)

# PASCAL VOC and its OOD sets (voc.py), for tests with images of 1280 pixels.
_base_ = "./voc.py"

image_size = (1280, 1280)
test_pipeline = [
    step | dict(scale=image_size) if "scale" in step else step for step in _base_.test_pipeline
]
eval_set = dict(pipeline=test_pipeline)
eval_images = dict(dataset=eval_set)

train_pipeline = None
train_dataloader = None
val_dataloader = eval_images
test_dataloader = eval_images
test_cfg = dict(ood_dataloaders=dict(coco=eval_images, openimages=eval_images))

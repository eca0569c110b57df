# ID set PASCAL VOC 2007+2012, OOD sets from COCO and Open Images (data/README.md: what lies where).
# The class names are COCO-style words; the json's categories must carry them, in any order.
_base_ = "../evaluation/ood_scores.py"

class_names = [
    "person",
    "bird",
    "cat",
    "cow",
    "dog",
    "horse",
    "sheep",
    "airplane",
    "bicycle",
    "boat",
    "bus",
    "car",
    "motorcycle",
    "train",
    "bottle",
    "chair",
    "dining table",
    "potted plant",
    "couch",
    "tv",
]
# Labels follow class_names; MMDetection's CocoDataset and CocoMetric would follow the json's order.
dataset_type = "CocoByNameDataset"
data_root = "data/VOC/"
image_size = (640, 640)
meta_keys = (
    "img_id",
    "img_path",
    "ori_shape",
    "img_shape",
    "scale_factor",
    "pad_param",
    "flip",
    "flip_direction",
)

train_pipeline = [
    dict(type="LoadImageFromFile", backend_args=None),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="mmyolo.YOLOv5KeepRatioResize", scale=image_size),
    dict(type="mmyolo.LetterResize", scale=image_size, pad_val=dict(img=114)),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="mmdet.PackDetInputs", meta_keys=meta_keys),
]
test_pipeline = [
    dict(type="LoadImageFromFile", backend_args=None),
    dict(type="mmyolo.YOLOv5KeepRatioResize", scale=image_size),
    dict(type="mmyolo.LetterResize", scale=image_size, allow_scale_up=False, pad_val=dict(img=114)),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="mmdet.PackDetInputs", meta_keys=meta_keys),
]

train_dataloader = dict(
    batch_size=20,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type="pseudo_collate"),
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type=dataset_type,
        metainfo=dict(classes=class_names),
        data_root=data_root,
        ann_file="annotations/voc0712_trainval.json",
        data_prefix=dict(img="JPEGImages/"),
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=train_pipeline,
    ),
)
# What all sets that are only looked at share; of use for further OOD sets, too. test_mode keeps
# images without annotations: they count in the protocol.
eval_loader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
)
eval_set = dict(
    type=dataset_type,
    metainfo=dict(classes=class_names),
    test_mode=True,
    pipeline=test_pipeline,
)
id_images = dict(data_root=data_root, data_prefix=dict(img="JPEGImages/"))

# What training is watched with. The official val lists are part of trainval: to choose between
# settings, train on the official train lists. The test set is never a place to choose.
val_dataloader = dict(
    **eval_loader, dataset=dict(**eval_set, **id_images, ann_file="annotations/voc0712_val.json")
)
test_dataloader = dict(
    **eval_loader, dataset=dict(**eval_set, **id_images, ann_file="annotations/voc07_test.json")
)
# The sets that negas prepare makes. The published lists: data/README.md.
ood_dataloaders = dict(
    coco=dict(
        **eval_loader,
        dataset=dict(
            **eval_set,
            data_root="data/coco/",
            ann_file="annotations/instances_val2017_ood_voc.json",
            data_prefix=dict(img="val2017/"),
        ),
    ),
    openimages=dict(
        **eval_loader,
        dataset=dict(
            **eval_set,
            data_root="data/openimages/",
            ann_file="validation_ood_voc.json",
            data_prefix=dict(img="images/"),
        ),
    ),
)

val_cfg = dict(type="ValLoop")
val_evaluator = dict(
    type="CocoByNameMetric",
    ann_file=data_root + "annotations/voc0712_val.json",
    metric="bbox",
)
test_cfg = dict(type="OODTestLoop", ood_dataloaders=ood_dataloaders)
# Cuts lie far above; each recorded box costs 2 kB (its region embedding).
test_evaluator = dict(min_score=0.05)

# S-OWODB, task 1: 19 known classes of COCO, all others unknown (data/README.md: what lies where).
# A test image shows both: the ID set is the images with a known object, the OOD set the others, so
# that each counts once. The preset owod puts them together again. For tests only.
_base_ = "../evaluation/ood_scores.py"

class_names = [
    "airplane",
    "bicycle",
    "bird",
    "boat",
    "bus",
    "car",
    "cat",
    "cow",
    "dog",
    "horse",
    "motorcycle",
    "sheep",
    "train",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "truck",
    "person",
]
dataset_type = "CocoByNameDataset"
data_root = "data/"
image_size = (640, 640)
meta_keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "pad_param")

test_pipeline = [
    dict(type="LoadImageFromFile", backend_args=None),
    dict(type="mmyolo.YOLOv5KeepRatioResize", scale=image_size),
    dict(type="mmyolo.LetterResize", scale=image_size, allow_scale_up=False, pad_val=dict(img=114)),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="mmdet.PackDetInputs", meta_keys=meta_keys),
]
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
    data_root=data_root,
    data_prefix=dict(img="coco/val2017/"),
)

test_dataloader = dict(**eval_loader, dataset=dict(**eval_set, ann_file="owodb/s/t1_test_id.json"))
ood_dataloaders = dict(
    unknown=dict(**eval_loader, dataset=dict(**eval_set, ann_file="owodb/s/t1_test_ood.json"))
)
test_cfg = dict(type="OODTestLoop", ood_dataloaders=ood_dataloaders)
test_evaluator = dict(presets=("val_f1", "owod"), min_score=0.05)

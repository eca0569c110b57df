# ID set BDD100K, OOD sets from COCO and Open Images (data/README.md: what lies where).
_base_ = "./voc.py"

class_names = [
    "pedestrian",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
    "traffic light",
    "traffic sign",
]
data_root = "data/bdd100k/"
eval_set = dict(metainfo=dict(classes=class_names))
id_set = dict(metainfo=dict(classes=class_names), data_root=data_root)
train_images = dict(img="images/100k/train/")

train_dataloader = dict(
    dataset=dict(ann_file="annotations/bdd100k_train.json", data_prefix=train_images, **id_set)
)
# BDD100K's val is the protocol's test set, so training is watched on a part of train.
val_dataloader = dict(
    dataset=dict(
        ann_file="annotations/bdd100k_train_holdout.json", data_prefix=train_images, **id_set
    )
)
test_dataloader = dict(
    dataset=dict(
        ann_file="annotations/bdd100k_val.json",
        data_prefix=dict(img="images/100k/val/"),
        **id_set,
    )
)
ood_dataloaders = dict(
    coco=dict(
        dataset=dict(
            metainfo=dict(classes=class_names),
            ann_file="annotations/instances_val2017_ood_bdd100k.json",
        )
    ),
    openimages=dict(
        dataset=dict(metainfo=dict(classes=class_names), ann_file="validation_ood_bdd100k.json")
    ),
)

val_evaluator = dict(ann_file=data_root + "annotations/bdd100k_train_holdout.json")
test_cfg = dict(ood_dataloaders=ood_dataloaders)

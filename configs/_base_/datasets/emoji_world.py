# EmojiWorld: 19 ID classes, near- and far-OOD sets, all in glyph styles that pre-training does not
# use; no glyph of an ID set to fit on occurs in one to test on. Made by `negas emoji-world`.
_base_ = "../evaluation/ood_scores.py"

class_names = "data/emoji_world/id_names.txt"  # the dataset's own; for models
banks = "data/labels/emoji_world/"
dataset_type = "EmojiWorldDataset"
data_root = "data/emoji_world/scenes/"
image_size = (160, 160)
meta_keys = (
    "img_id",
    "img_path",
    "ori_shape",
    "img_shape",
    "scale_factor",
    "pad_param",
    "flip",
    "flip_direction",
    "texts",
)

train_pipeline = [
    dict(type="LoadImageFromFile", backend_args=None),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    # The images have this size already; Resize writes the scale factor that heads read.
    dict(type="mmdet.Resize", scale=image_size, keep_ratio=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="mmdet.PackDetInputs", meta_keys=meta_keys),
]
test_pipeline = [
    dict(type="LoadImageFromFile", backend_args=None),
    dict(type="mmdet.Resize", scale=image_size, keep_ratio=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="mmdet.PackDetInputs", meta_keys=meta_keys),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=False,
    collate_fn=dict(type="pseudo_collate"),
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="annotations/id_train.json",
        data_prefix=dict(img="id_train/"),
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=train_pipeline,
    ),
)
# What all sets that are only looked at share; of use for further OOD sets, too.
eval_loader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
)
eval_set = dict(type=dataset_type, data_root=data_root, test_mode=True, pipeline=test_pipeline)

val_dataloader = dict(
    **eval_loader,
    dataset=dict(**eval_set, ann_file="annotations/id_val.json", data_prefix=dict(img="id_val/")),
)
id_val_clean_dataloader = dict(  # without unlabelled objects
    **eval_loader,
    dataset=dict(
        **eval_set,
        ann_file="annotations/id_val_clean.json",
        data_prefix=dict(img="id_val_clean/"),
    ),
)
test_dataloader = dict(
    **eval_loader,
    dataset=dict(**eval_set, ann_file="annotations/id_test.json", data_prefix=dict(img="id_test/")),
)
ood_dataloaders = {
    name: dict(
        **eval_loader,
        dataset=dict(
            **eval_set,
            ann_file=f"annotations/{name}_ood.json",
            data_prefix=dict(img=f"{name}_ood/"),
        ),
    )
    for name in ("near", "far")
}

val_evaluator = dict(
    type="CocoByNameMetric", ann_file=data_root + "annotations/id_val.json", metric="bbox"
)
# The cut comes from the ID validation set, the threshold of unknown objects from the clean one;
# tests score the same boxes with other banks, too.
test_cfg = dict(
    type="OODTestLoop",
    ood_dataloaders=ood_dataloaders,
    id_val_dataloader=val_dataloader,
    id_val_clean_dataloader=id_val_clean_dataloader,
)
test_evaluator = dict(
    presets=("val_f1", "matched", "objects"),
    banks={name: f"{banks}{name}.json" for name in ("lookalikes", "disjoint", "oracle", "wide")},
    min_score=0.02,
)

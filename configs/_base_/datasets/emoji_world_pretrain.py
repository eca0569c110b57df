# Scenes drawn on the fly in four glyph styles; validated in seen and in held-out styles.
# The validation sets come from `negas emoji-world`.
data_root = "data/emoji_world/"
scenes_root = data_root + "scenes/"

train_pipeline = [
    dict(type="RandomTexts", num_texts=48),
    dict(
        type="mmdet.PackDetInputs",
        meta_keys=(
            "img_id",
            "img_path",
            "ori_shape",
            "img_shape",
            "scale_factor",
            "flip",
            "flip_direction",
            "texts",
        ),
    ),
]
val_pipeline = [
    dict(type="LoadImageFromFile", backend_args=None),
    dict(type="mmdet.Resize", scale=(160, 160), keep_ratio=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(
        type="mmdet.PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type="pseudo_collate"),
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="EmojiWorldScenes",
        atlas_dir=data_root,
        length=400_000,
        styles=("noto", "noto-v1", "twemoji", "emojione"),
        vocabulary="standard",
        dense_prob=0.65,
        id_oversample=3,
        photometry="strong",
        seed=0,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ConcatDataset",
        datasets=[
            dict(
                type="EmojiWorldDataset",
                data_root=scenes_root,
                ann_file=f"annotations/{split}.json",
                data_prefix=dict(img=f"{split}/"),
                test_mode=True,
                pipeline=val_pipeline,
            )
            for split in ("id_val_seen", "id_val")
        ],
    ),
)
val_evaluator = dict(
    type="MultiDatasetsEvaluator",
    dataset_prefixes=("seen_style", "held_out_style"),
    metrics=[
        dict(
            type="CocoByNameMetric",
            ann_file=f"{scenes_root}annotations/{split}.json",
            metric="bbox",
        )
        for split in ("id_val_seen", "id_val")
    ],
)

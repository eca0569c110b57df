# How MMDetection's Grounding DINO sees images, for any data set: with a short side of 480 to 800
# in training and 800 in tests, and a long side up to 1333. Tests resize with Pillow, as for the
# published numbers. MMDetection decodes with Pillow, too, which gives the same pixels of a JPEG but
# others of 16-bit and transparent pictures; here one decoder serves all. The random crops of
# MMDetection's fine-tuning are left out.
grounding_dino_meta_keys = (
    "img_id",
    "img_path",
    "ori_shape",
    "img_shape",
    "scale_factor",
    "flip",
    "flip_direction",
)
grounding_dino_train_pipeline = [
    dict(type="LoadImageFromFile", backend_args=None),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(
        type="RandomChoiceResize",
        scales=[(short, 1333) for short in range(480, 801, 32)],
        resize_type="mmdet.Resize",
        keep_ratio=True,
    ),
    dict(type="mmdet.PackDetInputs", meta_keys=grounding_dino_meta_keys),
]
grounding_dino_test_pipeline = [
    dict(type="LoadImageFromFile", backend_args=None),
    dict(type="mmdet.FixScaleResize", scale=(800, 1333), keep_ratio=True, backend="pillow"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="mmdet.PackDetInputs", meta_keys=grounding_dino_meta_keys),
]
# Images of a batch are padded to the largest: in training like ones share a batch, tests have none.
grounding_dino_train_loader = dict(
    batch_size=2,
    batch_sampler=dict(type="mmdet.AspectRatioBatchSampler"),
    dataset=dict(pipeline=grounding_dino_train_pipeline),
)
grounding_dino_eval_loader = dict(batch_size=1, dataset=dict(pipeline=grounding_dino_test_pipeline))

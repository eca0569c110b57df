# Open-vocabulary pre-training of the built-in benchmark's Grounding DINO (on the CPU, in bfloat16).
# The image backbone is the built-in YOLO-World's, the text encoder its own; both stay as they are.
_base_ = [
    "../_base_/models/grounding_dino_tiny.py",
    "../_base_/datasets/emoji_world_pretrain.py",
    "../_base_/default_runtime.py",
]

max_epochs = 8
batch_size = 6
iterations = 650  # per epoch
epoch_length = iterations * batch_size  # images; all of them are drawn anew

model = dict(
    class_names="data/emoji_world/id_names.txt",
    prefix="a photo of",
    prefix_prob=0.4,
    frozen=("backbone", "language_model"),
    test_cfg=dict(unknown=None, keep_cells=False),
    backbone=dict(
        init_cfg=dict(
            type="Pretrained",
            checkpoint="data/emoji_world/yolo_world_tiny.safetensors",
            prefix="backbone.image_model.",
        )
    ),
)

train_pipeline = _base_.train_pipeline
train_pipeline[0].update(num_texts=12, templates=("{}",))
train_pipeline[1].update(meta_keys=(*train_pipeline[1]["meta_keys"], "text_names"))
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(_delete_=True, type="EpochWindowSampler", epoch_length=epoch_length),
    dataset=dict(length=epoch_length * max_epochs, id_oversample=5, pipeline=train_pipeline),
)

optim_wrapper = dict(
    type="AutocastOptimWrapper",
    dtype="bfloat16",
    optimizer=dict(type="AdamW", lr=3e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=200),
    dict(
        type="CosineAnnealingLR",
        eta_min_ratio=0.02,
        by_epoch=False,
        begin=200,
        end=max_epochs * iterations,
    ),
]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=2)
val_cfg = dict(type="ValLoop")
custom_hooks = [
    dict(
        type="EMAHook",
        # mmyolo's keeps references that MSDeformAttn's initialisation cuts.
        ema_type="mmdet.ExpMomentumEMA",
        momentum=0.002,
        update_buffers=True,
        strict_load=False,
        priority=49,
    ),
    dict(type="EpochSeedHook"),
]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2), logger=dict(interval=25))

# NegAS's recipe: AdamW on the prompt alone, 30 epochs, 160 images per step (8 GPUs x 20).
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-2, weight_decay=0.0),
)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=30, val_interval=5)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=30, convert_to_iter_based=True)
]
auto_scale_lr = dict(enable=False, base_batch_size=160)

custom_hooks = [dict(type="TrainedOnlyCheckpointHook"), dict(type="EpochSeedHook")]

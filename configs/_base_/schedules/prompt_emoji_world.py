# Prompt tuning on EmojiWorld: the paper's recipe with 8 epochs, 16 images per step.
lr = 1e-2
max_epochs = 8

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=lr, weight_decay=0.0),
)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=4)
val_cfg = dict(type="ValLoop")
param_scheduler = [
    dict(
        type="CosineAnnealingLR",
        by_epoch=True,
        begin=0,
        end=max_epochs,
        convert_to_iter_based=True,
    )
]
auto_scale_lr = dict(enable=False, base_batch_size=16)

custom_hooks = [dict(type="TrainedOnlyCheckpointHook"), dict(type="EpochSeedHook")]

# Open-vocabulary pre-training of the built-in benchmark's detector (on the CPU, in bfloat16).
_base_ = [
    "../_base_/models/yolo_world_tiny.py",
    "../_base_/datasets/emoji_world_pretrain.py",
    "../_base_/default_runtime.py",
]

# In images. These three are used up when the file is read, so --cfg-options does not change them.
# It takes train_dataloader.sampler.epoch_length, train_dataloader.batch_size and
# train_cfg.max_epochs; the schedule's end (param_scheduler.1.end) counts iterations.
epoch_length = 8000
max_epochs = 16
batch_size = 16

model = dict(
    class_names="data/emoji_world/id_names.txt",
    template="a photo of {}",
    channels_last=False,  # slower backward in bfloat16
    bbox_head=dict(soft_target_thr=0.3),
    test_cfg=dict(unknown=None, keep_cells=False),
)

train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(_delete_=True, type="EpochWindowSampler", epoch_length=epoch_length),
    dataset=dict(length=epoch_length * max_epochs, id_oversample=5),
)

optim_wrapper = dict(
    type="AutocastOptimWrapper",
    dtype="bfloat16",
    optimizer=dict(type="AdamW", lr=2e-3, weight_decay=0.02),
    clip_grad=dict(max_norm=20.0),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
iterations = epoch_length // batch_size
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=400),
    dict(
        type="CosineAnnealingLR",
        eta_min_ratio=0.02,
        by_epoch=False,
        begin=400,
        end=max_epochs * iterations,
    ),
]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=max_epochs, val_interval=4)
val_cfg = dict(type="ValLoop")
custom_hooks = [
    dict(
        type="EMAHook",
        ema_type="mmyolo.ExpMomentumEMA",
        momentum=0.001,
        update_buffers=True,
        strict_load=False,
        priority=49,
    )
]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))

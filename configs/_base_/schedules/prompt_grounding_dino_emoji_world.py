# Prompt tuning of Grounding DINO on EmojiWorld: AdamW, 4 epochs, 8 images per step.
_base_ = "./prompt_emoji_world.py"

lr = 1e-2
max_epochs = 4

optim_wrapper = dict(optimizer=dict(lr=lr))
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(
        type="CosineAnnealingLR",
        by_epoch=True,
        begin=0,
        end=max_epochs,
        convert_to_iter_based=True,
    )
]
auto_scale_lr = dict(enable=False, base_batch_size=8)

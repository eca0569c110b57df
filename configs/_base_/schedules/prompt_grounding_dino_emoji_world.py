# Prompt tuning of Grounding DINO on EmojiWorld: AdamW, 4 epochs, 8 images per step.
_base_ = "./prompt_emoji_world.py"

max_epochs = 4

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

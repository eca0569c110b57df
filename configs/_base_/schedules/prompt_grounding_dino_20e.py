# NegAS's recipe for Grounding DINO: AdamW with 1e-4 on the prompt alone, 20 epochs. The paper does
# not state the batch: 16 images per step (8 GPUs x 2), as MMDetection fine-tunes this detector.
_base_ = "./prompt_30e.py"

max_epochs = 20

optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(
        type="CosineAnnealingLR",
        by_epoch=True,
        begin=0,
        end=max_epochs,
        convert_to_iter_based=True,
    )
]
auto_scale_lr = dict(base_batch_size=16)

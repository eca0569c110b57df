# A further round of pre-training, in seven glyph styles, none of which the ID and OOD sets use; the
# backbone learns as well. It starts from the shipped weights; the next one from what this one made,
# with new scenes: --cfg-options load_from=<weights> train_dataloader.dataset.seed=2
_base_ = "./grounding-dino-tiny_1xb6-8e-pretrain_emoji-world.py"

from negas.datasets.emoji_world import vocabulary

load_from = "data/emoji_world/grounding_dino_tiny.safetensors"

max_epochs = 4
batch_size = 6
iterations = 650
epoch_length = iterations * batch_size

model = dict(frozen=("language_model",))

train_pipeline = _base_.train_pipeline
train_pipeline[0].num_texts = 24  # of about 45 that the caption holds
train_dataloader = dict(
    dataset=dict(
        length=epoch_length * max_epochs,
        styles=vocabulary.SEEN_STYLES,
        seed=1,  # other scenes than the shipped weights'
        pipeline=train_pipeline,
    ),
)

# In float32, as the YOLO-World's.
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.2))),
)
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = 100
param_scheduler[1].update(begin=100, end=max_epochs * iterations)
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)

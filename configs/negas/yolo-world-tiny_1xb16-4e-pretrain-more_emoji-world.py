# A further round of pre-training, in seven glyph styles, none of which the ID and OOD sets use. It
# starts from the shipped weights; the next one from what this one made, with new scenes:
# --cfg-options load_from=<weights> train_dataloader.dataset.seed=2
_base_ = "./yolo-world-tiny_1xb16-16e-pretrain_emoji-world.py"

from negas.datasets.emoji_world import vocabulary

load_from = "data/emoji_world/yolo_world_tiny.safetensors"

# In images, as in the base file.
epoch_length = 4000
max_epochs = 4
batch_size = 16

model = dict(channels_last=True)

train_pipeline = _base_.train_pipeline
train_pipeline[0].num_texts = 80  # more words to tell an object from
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(epoch_length=epoch_length),
    dataset=dict(
        length=epoch_length * max_epochs,
        styles=vocabulary.SEEN_STYLES,
        seed=1,  # other scenes than the shipped weights'
        pipeline=train_pipeline,
    ),
)

# In float32: without instructions for bfloat16 a processor takes seven times as long with it.
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=8e-4, weight_decay=0.02),
    clip_grad=dict(max_norm=20.0),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
iterations = epoch_length // batch_size
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = 100
param_scheduler[1].update(begin=100, end=max_epochs * iterations)
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)

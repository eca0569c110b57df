# EmojiWorld with shared instances: the same sets, but those to test on show the glyphs of those to
# fit on. The files come from `negas emoji-world --shared-instances`.
_base_ = "./emoji_world.py"

data_root = "data/emoji_world/scenes_shared/"
eval_set = dict(data_root=data_root)
train_dataloader = dict(dataset=eval_set)
val_dataloader = dict(dataset=eval_set)
id_val_clean_dataloader = dict(dataset=eval_set)
test_dataloader = dict(dataset=eval_set)
ood_dataloaders = dict(near=dict(dataset=eval_set), far=dict(dataset=eval_set))
val_evaluator = dict(ann_file=data_root + "annotations/id_val.json")
test_cfg = dict(
    ood_dataloaders=ood_dataloaders,
    id_val_dataloader=val_dataloader,
    id_val_clean_dataloader=id_val_clean_dataloader,
)

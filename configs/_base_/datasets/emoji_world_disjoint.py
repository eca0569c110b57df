# EmojiWorld with disjoint instances: the same sets, but no glyph of an ID set to fit on occurs in
# one to test on. The files come from `negas emoji-world --no-shared-instances`.
_base_ = "./emoji_world.py"

data_root = "data/emoji_world/scenes_disjoint/"
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

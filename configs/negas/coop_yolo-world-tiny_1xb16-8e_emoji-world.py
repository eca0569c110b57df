# CoOp prompts on EmojiWorld: the context vectors are trained, without the OOD branch.
_base_ = [
    "../_base_/models/yolo_world_tiny.py",
    "../_base_/datasets/emoji_world.py",
    "../_base_/schedules/prompt_emoji_world.py",
    "../_base_/default_runtime.py",
]

banks = "data/labels/emoji_world/"

model = dict(
    type="NegASYOLOWorldDetector",
    class_names="data/emoji_world/id_names.txt",
    base_checkpoint="data/emoji_world/yolo_world_tiny.safetensors",
    neg_labels=banks + "llm.json",
    prompt=dict(num_ctx=3, ctx_init="a photo of"),
    use_nega=False,
    test_cfg=dict(keep_logits=True, keep_embeddings=True),
)

# The cut comes from the ID validation set; tests score the same boxes with other banks, too.
test_cfg = dict(
    type="OODTestLoop",
    ood_dataloaders={{_base_.ood_dataloaders}},
    cut_dataloader={{_base_.val_dataloader}},
)
test_evaluator = dict(
    _delete_=True,
    type="OODMetric",
    # MCM and NegLabel are defined on cosines; on the head's logits MCM would be MSP.
    scores=[
        "max_sigmoid",
        "msp",
        "energy",
        "joint_energy",
        dict(type="mcm", logits="cosine"),
        dict(type="neglabel", logits="cosine", temperature=0.01),
        "negs",
        "negs_product",
    ],
    protocols=("vos", "matched"),
    cut="f1",
    banks=dict(
        disjoint=banks + "disjoint.json",
        oracle=banks + "oracle.json",
        wide=banks + "wide.json",
    ),
    rotations=5,
    min_score=0.02,
)

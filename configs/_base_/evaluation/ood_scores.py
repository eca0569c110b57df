# What every test reports: all scores on the same boxes, each with its rotated-bank control (the
# same geometry without meaning, mean of five draws). Needs the model's test_cfg.keep_embeddings.
test_evaluator = dict(
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
    presets=("val_f1", "objects"),  # what becomes of unknown objects heads every report
    cut="f1",
    rotations=5,
)

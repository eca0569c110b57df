# SIREN: a head on the frozen detector's embeddings, for the scores siren_vmf and siren_knn.
_base_ = "./coop_yolo-world-v2-s_8xb20-30e_bdd100k.py"

model = dict(type="SIRENYOLOWorldDetector", prompt=None)

optim_wrapper = dict(optimizer=dict(lr=1e-3))
test_cfg = dict(id_val_dataloader=_base_.val_dataloader)  # boxes for SIREN-KNN; also the cut
test_evaluator = dict(scores=[*_base_.test_evaluator.scores, "siren_vmf", "siren_knn"])

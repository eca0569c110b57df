# Ablation: 20 negatives that InterNeg mines from WordNet with the ID images.
_base_ = "./negas_yolo-world-v2-s_8xb20-30e_bdd100k.py"

bank = "work_dirs/banks/bdd100k_interneg_20.json"
# The command that makes it:
bank_command = (
    "python tools/mine_labels.py configs/negas/negas_yolo-world-v2-s_8xb20-30e_bdd100k.py "
    "--source wordnet --select interneg --encoder openai/clip-vit-base-patch32 --num 20 "
    f"--work-dir work_dirs/mine_bdd100k_interneg --out {bank}"
)
model = dict(neg_labels=bank)

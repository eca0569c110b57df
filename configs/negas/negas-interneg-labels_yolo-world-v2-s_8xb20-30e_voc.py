# Ablation: 20 negatives that InterNeg mines from WordNet with the ID images.
_base_ = "./negas_yolo-world-v2-s_8xb20-30e_voc.py"

bank = "work_dirs/banks/voc_interneg_20.json"
# The command that makes it:
bank_command = (
    "python tools/mine_labels.py configs/negas/negas_yolo-world-v2-s_8xb20-30e_voc.py "
    "--source wordnet --select interneg --encoder openai/clip-vit-base-patch32 --num 20 "
    f"--work-dir work_dirs/mine_voc_interneg --out {bank}"
)
model = dict(neg_labels=bank)

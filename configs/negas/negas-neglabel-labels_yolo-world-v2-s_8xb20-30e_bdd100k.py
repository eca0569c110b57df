# Ablation: 20 negatives that NegLabel mines from WordNet.
_base_ = "./negas_yolo-world-v2-s_8xb20-30e_bdd100k.py"

bank = "work_dirs/banks/bdd100k_neglabel_20.json"
# The command that makes it:
bank_command = (
    "python tools/mine_labels.py configs/negas/negas_yolo-world-v2-s_8xb20-30e_bdd100k.py "
    "--source wordnet --select neglabel --encoder openai/clip-vit-base-patch32 --num 20 "
    f"--work-dir work_dirs/mine_bdd100k_neglabel --out {bank}"
)
model = dict(neg_labels=bank)

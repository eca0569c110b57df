# Ablation: 80 negatives that CLIP chooses from the candidates, first in its ranking.
_base_ = "./negas_yolo-world-v2-l_8xb20-30e_bdd100k.py"

bank = "work_dirs/banks/bdd100k_clip_80.json"
# The command that makes it:
bank_command = (
    "python tools/mine_labels.py configs/negas/negas_yolo-world-v2-l_8xb20-30e_bdd100k.py "
    "--source file --candidates data/labels/candidates/bdd100k.json "
    "--encoder openai/clip-vit-base-patch32 --num 80 --work-dir work_dirs/mine_bdd100k_clip "
    f"--out {bank}"
)
model = dict(neg_labels=bank)

# Ablation: 5 negatives that CLIP chooses from the candidates, first in its ranking.
_base_ = "./negas_yolo-world-v2-s_8xb20-30e_voc.py"

bank = "work_dirs/banks/voc_clip_5.json"
# The command that makes it:
bank_command = (
    "python tools/mine_labels.py configs/negas/negas_yolo-world-v2-s_8xb20-30e_voc.py "
    "--source file --candidates data/labels/candidates/voc.json "
    "--encoder openai/clip-vit-base-patch32 --num 5 --work-dir work_dirs/mine_voc_clip "
    f"--out {bank}"
)
model = dict(neg_labels=bank)

# Ablation: 20 negatives of CSP's conjugated pool.
_base_ = "./negas_yolo-world-v2-l_8xb20-30e_bdd100k.py"

bank = "work_dirs/banks/bdd100k_csp_20.json"
# The command that makes it:
bank_command = (
    "python tools/mine_labels.py configs/negas/negas_yolo-world-v2-l_8xb20-30e_bdd100k.py "
    "--source csp --select csp --encoder openai/clip-vit-base-patch32 --num 20 "
    f"--work-dir work_dirs/mine_bdd100k_csp --out {bank}"
)
model = dict(neg_labels=bank)

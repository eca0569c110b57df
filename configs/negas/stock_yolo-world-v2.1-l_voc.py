# YOLO-World v2.1 (v2's network, trained with blank texts) with NegS, nothing trained.
_base_ = "./stock_yolo-world-v2-l_voc.py"

model = dict(background_text=" ", base_checkpoint="checkpoints/yolo_world_v2.1_l.pth")

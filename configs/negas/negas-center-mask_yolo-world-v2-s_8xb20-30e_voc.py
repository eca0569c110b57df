# Another reading: a cell is foreground if its centre lies in a box.
_base_ = "./negas_yolo-world-v2-s_8xb20-30e_voc.py"

model = dict(background=dict(rule="center"))

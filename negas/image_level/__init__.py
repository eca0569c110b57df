"""Whole images and crops: CLIP-style encoders and the scores that work on their features.

Shape letters: N images, T texts, D channels of the joint space, H and W pixels.
"""

from typing import Literal

#: whole images, crops of annotated objects, or of detected boxes
View = Literal["images", "gt_crops", "detected_crops"]

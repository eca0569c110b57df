"""What the Inferencer looks at: files, addresses, arrays of many kinds, videos and cameras."""

from .pictures import Input, Picture, Pictures, read_image

__all__ = ["Input", "Picture", "Pictures", "read_image"]

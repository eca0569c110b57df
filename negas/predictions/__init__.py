"""What a detector says about one picture, and the forms that other people's tools read.

Numpy only; other libraries are imported by the methods that make their objects.
"""

from .results import Detection, Results

__all__ = ["Detection", "Results"]

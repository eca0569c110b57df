"""NegAS: out-of-distribution object detection with negative labels, for MMDetection.

Importing this package is light; ``negas.register`` adds the modules to MMEngine's registries.
"""

__version__ = "0.1.0"

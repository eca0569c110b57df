"""What lets the mm* packages import and load on today's PyTorch; ``install()`` puts it in place.

Importing this package is light. ``install()`` imports torch, mmengine and mmcv, nothing more, and
never replaces something that works.
"""

from __future__ import annotations

import warnings

__all__ = ["install"]
_installed = False
# (category, message): noise of dependencies that no user can act on.
_NOISE = (
    (DeprecationWarning, "pkg_resources is deprecated"),
    (UserWarning, "pkg_resources is deprecated"),
    (DeprecationWarning, "`torch.jit.(script|interface)` is deprecated"),
    (UserWarning, "torch.meshgrid: in an upcoming release"),
    (UserWarning, r"Warning: The \w+ is out of bounds"),  # of boxes at the edge of a picture
    (UserWarning, "position encoding of key ismissing in"),  # of texts, which have none
    (UserWarning, r"Setting (OMP|MKL)_NUM_THREADS environment variable for each process"),
    (ImportWarning, "``MultiScaleDeformableAttention`` has been moved"),
)


def install() -> None:
    """Put the stand-ins in place; call before the first import of ``mmcv.ops`` or ``mmdet``.

    Does nothing at the second call.

    Raises:
        ImportError: the mm* packages are missing or cannot be imported; the sentence names the
            remedy.
    """
    global _installed
    if _installed:
        return
    for category, message in _NOISE:
        warnings.filterwarnings("ignore", message, category)
    from . import checkpoint, mmcv_ext, startup

    startup.install()
    mmcv_ext.install()
    checkpoint.install()
    _installed = True

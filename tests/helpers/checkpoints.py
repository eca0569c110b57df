"""Training checkpoints as MMEngine writes them, as far as resuming looks at them."""

from __future__ import annotations

from pathlib import Path

import torch


def fake_checkpoint(path: Path, epoch: int = 1, **changes: object) -> Path:
    """Write a whole checkpoint of one weight; ``changes`` replace its parts."""
    content = dict(
        state_dict={"prompt.ctx": torch.full((1,), float(epoch))},
        meta=dict(epoch=epoch, iter=10 * epoch),
        message_hub=dict(),
        optimizer=dict(),
    )
    torch.save(content | changes, path)
    return path

"""Write a detector's weights as half-precision safetensors, with a summary of how they were made.

``python tools/emoji_world/export_weights.py work_dirs/RUN/epoch_16.pth OUT.safetensors``
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from negas.cli import user_errors
from negas.options import Options, option


@dataclass(frozen=True)
class ExportOptions(Options):
    """Export a checkpoint as fp16 safetensors."""

    checkpoint: str = option(help="checkpoint of a training run (.pth)", positional=True)
    out: str = option(help="file to write (.safetensors)", positional=True, output=True)
    keep_text: bool = option(False, help="include the text encoder (it has its own files)")


def log_summary(run_dir: Path) -> list[dict]:
    """Validation lines of the newest scalar log of a run."""
    logs = sorted(run_dir.glob("*/vis_data/scalars.json"))
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    wanted = ("bbox_mAP", "bbox_mAP_50")
    return [
        {key: value for key, value in line.items() if key == "step" or key.endswith(wanted)}
        for line in lines
        if any(key.endswith("bbox_mAP_50") for key in line)
    ]


@user_errors
def main() -> int:
    args = ExportOptions.parse()
    import torch
    from mmengine.runner.checkpoint import CheckpointLoader
    from safetensors.torch import save_file

    import negas.register  # noqa: F401
    from negas.files import check_file, file_sha256, whole_file, write_json

    check_file(args.out, "out")
    check_file(Path(args.out).with_suffix(".json"), "out")

    checkpoint = CheckpointLoader.load_checkpoint(args.checkpoint, map_location="cpu")
    tensors = {
        # counters of batch norm stay integers; everything else fits fp16
        key: value.half().contiguous() if value.is_floating_point() else value.contiguous()
        for key, value in checkpoint["state_dict"].items()
        if args.keep_text or not key.startswith(("backbone.text_model.", "language_model."))
    }
    if all(key.startswith("prompt.") for key in tensors):
        raise ValueError(
            f"{args.checkpoint!r} holds a learned prompt and no detector; give a checkpoint of a "
            "training of the whole detector"
        )
    broken = [key for key, value in tensors.items() if not torch.isfinite(value).all()]
    if broken:
        raise ValueError(f"{args.checkpoint!r}: {broken[0]} does not fit half precision")
    with whole_file(args.out) as partial:
        save_file(tensors, partial)
    meta = checkpoint.get("meta", {})
    summary = dict(
        checkpoint=Path(args.checkpoint).name,
        epochs=meta.get("epoch"),
        iterations=meta.get("iter"),
        seed=meta.get("seed"),
        mmengine=meta.get("mmengine_version"),
        torch=torch.__version__,
        parameters=sum(t.numel() for t in tensors.values()),
        sha256=file_sha256(args.out),
        validation=log_summary(Path(args.checkpoint).parent),
    )
    write_json(Path(args.out).with_suffix(".json"), summary)
    print(f"{args.out}: {Path(args.out).stat().st_size / 1e6:.2f} MB, {len(tensors)} tensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Ask whether words mean something to the detector: ``probe_meaning.py RUN_DIR``.

RUN_DIR is the work dir of a test run on EmojiWorld whose records hold embeddings.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from negas.cli import user_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Do words mean something to the detector?")
    parser.add_argument("run_dir", help="work dir of a test run with embeddings in its records")
    parser.add_argument("--root", default="data/emoji_world", help="folder of the benchmark")
    parser.add_argument("--words", default="data/labels/emoji_world/wide.json")
    parser.add_argument("--template", default="a photo of {}")
    return parser.parse_args()


@user_errors
def main() -> int:
    args = parse_args()
    import torch
    from meaning import object_embeddings, read_words
    from rich.console import Console
    from rich.table import Table
    from transformers import AutoTokenizer, CLIPTextModelWithProjection

    from negas.datasets.emoji_world.vocabulary import load_classes
    from negas.embeddings.text import encode_labels
    from negas.labels import NegativeLabelBank
    from negas.records import BoxRecords

    root = Path(args.root)
    classes = load_classes(root)
    trained = [entry.name for entry in classes if entry.seen]
    names = [entry.name for entry in classes]
    untrained = [
        word for word in NegativeLabelBank.load(args.words).neg_labels if word not in trained
    ]
    words = list(dict.fromkeys([*names, *untrained]))
    clip = root / "tiny_clip"
    tower = CLIPTextModelWithProjection.from_pretrained(clip).float().eval()
    with torch.no_grad():
        table = encode_labels(
            tower, AutoTokenizer.from_pretrained(clip), words, template=args.template
        )
    feats = dict(zip(words, table.numpy(), strict=True))

    objects = {}
    for split, file in (("id", "id_test"), ("near", "near_ood"), ("far", "far_ood")):
        truth = json.loads((root / "scenes" / "annotations" / f"{file}.json").read_text())
        records = BoxRecords.load(Path(args.run_dir) / "records" / f"{split}.npz")
        objects.update(object_embeddings(records, truth))
    groups = {
        "ID": [e.name for e in classes if e.group == "id"],
        "near-OOD, seen": [e.name for e in classes if e.group == "near" and e.seen],
        "far-OOD, seen": [e.name for e in classes if e.group == "far" and e.seen],
        "far-OOD, unseen": [e.name for e in classes if e.group == "far" and not e.seen],
    }
    out = {}
    shown = Table("classes", "objects", "top-1", "top-10", "r trained", "r untrained")
    for group, members in groups.items():
        result = read_words(
            {name: objects[name] for name in members if name in objects},
            feats,
            names,
            trained,
            untrained,
        )
        out[group] = asdict(result)
        shown.add_row(
            f"{group} ({result.classes})",
            str(result.objects),
            f"{100 * result.top1:.1f}",
            f"{100 * result.top10:.1f}",
            f"{result.trained_r:.2f}",
            f"{result.untrained_r:.2f}",
        )
    Console().print(shown)
    Console().print(
        f"names: {len(names)} (chance {100 / len(names):.1f}%); untrained words: {len(untrained)}"
    )
    path = Path(args.run_dir) / "meaning.json"
    path.write_text(json.dumps(out, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Ask whether words mean something to the detector: ``probe_meaning.py RUN_DIR``.

RUN_DIR is the work dir of a test run on EmojiWorld whose records hold embeddings.
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from negas.cli import user_errors
from negas.options import Options, option

SETS = dict(id="id_test", near="near_ood", far="far_ood")  # and their annotations


@dataclass(frozen=True)
class MeaningOptions(Options):
    """Do words mean something to the detector?"""

    run_dir: str = option(help="work dir of a test with embeddings in its records", positional=True)
    root: str = option("data/emoji_world", help="folder of the benchmark")
    words: str = option("data/labels/emoji_world/wide.json", help="bank of untrained words")
    template: str = option("a photo of {}", help="what a word is read in")


@user_errors
def main() -> int:
    """Print how objects answer to words, by group of classes, and write ``meaning.json``."""
    args = MeaningOptions.parse()
    import torch
    from meaning import object_embeddings, read_words
    from rich.console import Console
    from rich.table import Table
    from transformers import AutoTokenizer, CLIPTextModelWithProjection

    from negas.datasets.emoji_world.vocabulary import load_classes
    from negas.embeddings.hub import load_whole, loading
    from negas.embeddings.text import encode_labels
    from negas.evaluation.run import Run
    from negas.files import write_json
    from negas.labels import NegativeLabelBank
    from negas.shipped import RESTORE

    root = Path(args.root)
    places = {name: f"{root}/scenes/annotations/{file}.json" for name, file in SETS.items()}
    run = Run.load(args.run_dir, places)
    objects = {}
    for name in SETS:
        objects.update(object_embeddings(run, name))
    classes = load_classes(root)
    trained = [entry.name for entry in classes if entry.seen]
    names = [entry.name for entry in classes]
    untrained = [
        word for word in NegativeLabelBank.load(args.words).neg_labels if word not in trained
    ]
    words = list(dict.fromkeys([*names, *untrained]))
    clip = root / "tiny_clip"
    with loading(f"{clip}: the text tower cannot be read", RESTORE):
        tower = load_whole(CLIPTextModelWithProjection, str(clip)).float().eval()
        tokenizer = AutoTokenizer.from_pretrained(clip)
    with torch.no_grad():
        table = encode_labels(tower, tokenizer, words, template=args.template)
    feats = dict(zip(words, table.numpy(), strict=True))

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
    write_json(Path(args.run_dir) / "meaning.json", out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

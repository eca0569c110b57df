"""Write the configs of VOC and BDD100K from one table: ``python tools/make_configs.py``.

Every row below becomes a few files in configs/negas, one per detector, size and data set.
``--check`` writes nothing and returns 1 if a file there is not what would be written. A further
detector is one more family in negas/apis/config_families.py: it gets the rows whose option it has a
line for.
"""

import argparse
import sys
from pathlib import Path

from negas.cli import user_errors
from negas.experiments.config_families import FAMILIES
from negas.experiments.config_files import (
    Bank,
    RandomWords,
    Row,
    config_texts,
    differences,
    write_configs,
)

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "configs" / "negas"
DATA = ("voc", "bdd100k")
# Sizes that ablations are made for; what is a choice of ours, for the smallest only.
ABLATED, SMALLEST = "slt", "st"
CLIP = "--encoder openai/clip-vit-base-patch32"
BY_CLIP = f"--source file --candidates data/labels/candidates/{{data}}.json {CLIP}"


def from_corpus(source: str, select: str) -> Bank:
    """Twenty words that another method takes from WordNet."""
    options = f"--source {source} --select {select} {CLIP} --num 20"
    return Bank(f"{select}_20", options, select)


def noise(method: str, sigma: float) -> Row:
    """NegAS with another strength of the noise."""
    about = f"Ablation: noise of standard deviation {sigma} on negative texts, in place of 0.05."
    return Row(method, about, "sigma", sigma, ABLATED)


def weight(alpha: float) -> Row:
    """NegAS with another weight of the OOD branch's loss."""
    about = f"Ablation: weight {alpha:g} of the OOD branch's loss, in place of 3."
    return Row(f"negas-alpha-{alpha:g}", about, "alpha", alpha, ABLATED)


def reading(method: str, about: str, option: str, value: object) -> Row:
    """NegAS as what the paper leaves open can be read, too."""
    return Row(f"negas-{method}", f"Another reading: {about}", option, value, SMALLEST)


def bypass(path: str) -> Row:
    """NegAS whose negatives reach the score on another way around the fusion."""
    about = (
        f"negatives go the way {path!r} around the fusion, not 'normed'. It matters in tests only: "
        "test the checkpoint of negas with this config."
    )
    return reading(f"{path.replace('_', '-')}-path", about, "query_option", f'neg_path="{path}"')


def labels(name: str, about: str, source: Bank | RandomWords) -> Row:
    """NegAS with other negative labels."""
    return Row(f"negas-{name}-labels", about, "neg_labels", source, ABLATED)


def ranked(num: int) -> Row:
    """NegAS with the candidates that the paper's selection puts first."""
    about = (
        f"Ablation: {num} negatives that CLIP chooses from the candidates, first in its ranking."
    )
    return labels(str(num), about, Bank(f"clip_{num}", f"{BY_CLIP} --num {num}", "clip"))


ROWS = (
    # main comparison, all sizes
    Row(
        "negas",
        "NegAS: the prompt is trained with the OOD branch on background (NegA); score NegS.",
        "full",
    ),
    Row(
        "coop",
        "CoOp: the same prompt trained without the OOD branch. The negative labels stay, so that "
        "all scores are reported on its boxes; its own is the confidence.",
        "coop",
    ),
    Row(
        "stock",
        "NegS on stock weights and plain class names, nothing trained: for tools/test.py only.",
        "stock",
    ),
    # NegA
    noise("negas-no-noise", 0.0),
    *(noise(f"negas-sigma-{sigma}", sigma) for sigma in (0.01, 0.1, 0.2)),
    *(weight(alpha) for alpha in (0.5, 1.0, 5.0, 10.0)),
    Row(
        "negas-no-mask",
        "Ablation: the OOD branch's loss counts objects, too.",
        "background",
        "enabled=False",
        ABLATED,
    ),
    reading(
        "center-mask",
        "a cell is foreground if its centre lies in a box.",
        "cell_rule",
        'rule="center"',
    ),
    reading(
        "unmatched-mask",
        "background are all queries that the Hungarian matching leaves over.",
        "query_rule",
        'rule="unmatched"',
    ),
    reading(
        "reference-mask",
        "background is judged by the proposal that a query starts from, not by its box.",
        "query_rule",
        'boxes="reference"',
    ),
    reading(
        "all-layers",
        "the OOD branch has a loss at every decoder layer, not at the last alone.",
        "query_option",
        'ood_layers="all"',
    ),
    reading(
        "bce",
        "BCE as the paper writes it, not the focal form of the detector's own loss.",
        "query_option",
        'loss_ood=dict(type="MaskedBCELoss", loss_weight=1.0)',
    ),
    # NegS
    *(bypass(path) for path in ("text_layers", "projected")),
    # negative labels
    *(ranked(num) for num in (5, 10, 20, 40, 80)),
    labels(
        "neglabel",
        "Ablation: 20 negatives that NegLabel mines from WordNet.",
        from_corpus("wordnet", "neglabel"),
    ),
    labels("csp", "Ablation: 20 negatives of CSP's conjugated pool.", from_corpus("csp", "csp")),
    labels(
        "interneg",
        "Ablation: 20 negatives that InterNeg mines from WordNet with the ID images.",
        from_corpus("wordnet", "interneg"),
    ),
    labels(
        "random",
        "Control: 20 nouns of WordNet drawn at random, neither filtered nor looked at.",
        RandomWords(20),
    ),
    # prompt
    reading(
        "plain-negatives",
        "the learned prompt stands before ID labels only.",
        "prompt_negatives",
        False,
    ),
    reading(
        "fixed-guide",
        "loss_ood reaches the prompt through the ID names only, not through the negatives too.",
        "guide_grad",
        False,
    ),
    reading(
        "random-start",
        "context vectors start at random from the run's seed, not from words.",
        "prompt",
        "ctx_init=None",
    ),
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Write the configs of VOC and BDD100K")
    parser.add_argument("--check", action="store_true", help="only compare; 1 if a file differs")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder (default: configs/negas)")
    return parser.parse_args()


@user_errors
def main() -> int:
    args = parse_args()
    from mmengine.config import Config

    bases = {data: FOLDER.parent / f"_base_/datasets/{data}.py" for data in DATA}
    id_labels = {data: Config.fromfile(path).class_names for data, path in bases.items()}
    texts = config_texts(ROWS, FAMILIES, id_labels)
    if not args.check:
        for name in write_configs(texts, args.out):
            print(f"written: {args.out / name}")
    found = list(differences(texts, args.out))
    for name, how in found:
        print(f"{args.out / name} {how}")
    print(f"{len(texts)} configs in the table, {len(found)} files that differ")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())

"""Fitted scores of pytorch-ood on seeded arrays: ``python tools/dev/fitted_goldens.py``.

Ours must equal them. Run it in an environment of its own (``pip install torch torchvision
pytorch-ood scikit-learn``); the file it writes is ``tests/data/scores/fitted.npz``.
"""

import argparse
from importlib.metadata import version

import numpy as np

from negas.files.npz import write_npz

DIM = 8  # of ViM's principal subspace
K = 7  # neighbors


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """Fit boxes of four classes and boxes to be scored, of a linear head with one bias."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(4, 24))
    labels = rng.integers(0, 4, 300)
    feats = 0.7 * rng.normal(size=(300, 24)) + weights[labels]
    others = rng.normal(size=(50, 24)) + 0.5 * weights[rng.integers(0, 4, 50)]
    bias = np.full(4, -0.5)
    made = dict(weights=weights, bias=bias, labels=labels, feats=feats, queries=others)
    return {key: a if a.dtype.kind == "i" else a.astype(np.float32) for key, a in made.items()}


def goldens(data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outlier scores ``[50]`` by pytorch-ood's names; larger = unknown."""
    import torch
    from pytorch_ood.detector import KNN, RMD, Mahalanobis, NNGuide, ViM

    tensors = {key: torch.from_numpy(value) for key, value in data.items()}
    weights, bias = tensors["weights"], tensors["bias"]

    def head(feats):
        return feats @ weights.T + bias

    detectors = dict(
        knn=KNN(None, k=K),
        mahalanobis=Mahalanobis(None),
        relative_mahalanobis=RMD(None),
        vim=ViM(None, d=DIM, w=weights, b=bias),
        nnguide=NNGuide(None, head, k=K),
    )
    found = {}
    for name, detector in detectors.items():
        detector.fit_features(tensors["feats"], tensors["labels"])
        found[name] = detector.predict_features(tensors["queries"]).numpy()
    return found


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Goldens of fitted scores")
    parser.add_argument("--out", default="tests/data/scores/fitted.npz", help="file to write")
    out = parser.parse_args().out
    data = arrays()
    made_by = np.array(f"pytorch-ood {version('pytorch-ood')}, torch {version('torch')}")
    write_npz(out, {**data, **goldens(data), "made_by": made_by})
    print(f"written to {out}")


if __name__ == "__main__":
    main()

"""A detector as a page of static files that runs in a browser: ``negas export --web DIR``."""

from __future__ import annotations

import base64
import json
import tarfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from negas.apis.inferencer import Inferencer
from negas.files import file_sha256, make_folder, whole_file, write_text
from negas.runtime.metadata import Metadata
from negas.runtime.words import Words
from negas.weights.download import download
from negas.weights.released import FOLDER

from .pictures import letterbox_of
from .write import Wanted, export_onnx

PAGE = Path(__file__).with_name("web")
MODEL, ABOUT = "model.onnx", "detector.json"
VERSION = "1.30.0"
ADDRESS = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
# of the file whose sha512 the registry gives as
# q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
PACKAGE = Path(FOLDER, Path(ADDRESS).name)
ENGINE = "onnxruntime"  # folder of these
FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
# what the page's tokenizer does, as a tokenizer.json says it
_STEPS = dict(
    normalizer=["NFC", "Replace", "Lowercase"],
    pre_tokenizer=["Split", "ByteLevel"],
    post_processor=["RobertaProcessing"],
    model=["BPE"],
)


def fetch_engine(package: Path = PACKAGE) -> Path:
    """onnxruntime-web as npm has it, fetched if it is not there.

    Args:
        package: the tarball's place.

    Raises:
        ValueError: it is another file.
        OSError: see :func:`negas.weights.download.download`.
    """
    if package.is_file():
        if file_sha256(package) != SHA256:
            raise ValueError(
                f"--onnxruntime-web: {str(package)!r} is not npm's onnxruntime-web {VERSION}, or "
                f"damaged; get it with npm pack onnxruntime-web@{VERSION}"
            )
        return package
    return download(ADDRESS, package, SHA256)


def export_page(
    inferencer: Inferencer, folder: Path, wanted: Wanted, package: Path = PACKAGE
) -> Metadata:
    """Write the page: the detector, its text encoder, onnxruntime-web and what runs them.

    The files ask for nothing from elsewhere; any server of static files serves them.

    Args:
        inferencer: of the detector.
        folder: of the page.
        wanted: as of the file; the mode is ``open``.
        package: see :func:`fetch_engine`.

    Returns:
        What the page says about the detector.

    Raises:
        ValueError: the detector cannot be exported so, or the package is another file.
        OSError: a file cannot be written or fetched.
    """
    package = fetch_engine(package)
    if letterbox_of(inferencer.cfg, inferencer.model, wanted.size).shrink == "pillow":
        raise ValueError("--web: the page cannot resize as Pillow does; set Resize.backend='cv2'")
    model = make_folder(folder) / MODEL
    # given by the page at every run: onnxruntime-web cannot replace values that a file has
    values: dict[str, Tensor] = {}
    about = export_onnx(inferencer, model, replace(wanted, mode="open"), values)
    texts = {name: _in_json(value.numpy()) for name, value in values.items()}
    encoder, vocabulary = Words.files(model)
    _check_tokenizer(vocabulary)
    said = dict(about=asdict(about), texts=texts, length=_length(encoder))
    write_text(folder / ABOUT, json.dumps(said))
    with tarfile.open(package) as held:
        for name in FILES:
            _write(folder / ENGINE / name, held.extractfile(f"package/dist/{name}").read())
    for file in sorted(PAGE.iterdir()):
        _write(folder / file.name, file.read_bytes())
    return about


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(content)


def _in_json(value: np.ndarray) -> dict[str, Any]:
    """An array as ``type``, ``dims`` and ``data`` (base64)."""
    return dict(
        type=str(value.dtype),
        dims=list(value.shape),
        data=base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii"),
    )


def _length(encoder: Path) -> int:
    """Tokens that the text encoder takes."""
    import onnx

    shape = onnx.load(encoder).graph.input[0].type.tensor_type.shape
    return shape.dim[1].dim_value


def _check_tokenizer(path: Path) -> None:
    """Make sure that the page reads words as the detector does.

    Raises:
        ValueError: the tokenizer is none of CLIP's kind.
    """
    said = json.loads(path.read_text(encoding="utf-8"))
    for part, wanted in _STEPS.items():
        step = said[part] or {}
        found = step.get("normalizers") or step.get("pretokenizers") or [step]
        kinds = [one.get("type") for one in found]
        if kinds != wanted:
            raise ValueError(
                f"--web: the page reads words as CLIP does, and this detector's tokenizer has the "
                f"{part} {', '.join(map(str, kinds))}"
            )

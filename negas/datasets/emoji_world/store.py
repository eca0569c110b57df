"""Keep splits on disk: written once, checked by hash, repaired where damaged."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from negas.files import make_folder, read_json, whole_file

from .splits import SplitWriter

Progress = Callable[[int], None]


def ensure_split(writer: SplitWriter, out: Path, progress: Progress = lambda done: None) -> str:
    """Make one split under `out`, or leave it alone if it is complete and intact.

    Layout: `<split>/000001.png`, `annotations/<split>.json`, `manifest/<split>.json` (recipe and
    sha256 of every file; without files as long as the split is not finished).
    `progress` is called with the number of images just finished.

    Returns `intact`, `repaired` or `made`.

    Raises:
        FileExistsError: pictures lie there that are no split's, and would be lost.
        OSError: the folder cannot be written.
    """
    manifest_path = out / "manifest" / f"{writer.split.name}.json"
    manifest = _read_manifest(manifest_path)
    same = bool(manifest and manifest["files"]) and manifest["recipe"] == _recipe(writer)
    if same:
        damaged = [
            name for name, digest in manifest["files"].items() if not _fits(out / name, digest)
        ]
        if not damaged:
            progress(writer.num)
            return "intact"
        if _repair(writer, out, manifest["files"], damaged):
            progress(writer.num)
            return "repaired"
    place = out / writer.split.name
    if not manifest_path.is_file() and any(place.glob("[0-9]*.png")):
        raise FileExistsError(
            f"{str(place)!r} holds pictures that are none of this benchmark; give another folder "
            "(--out), or move them"
        )
    _make(writer, out, manifest_path, progress)
    return "repaired" if same else "made"


def _make(writer: SplitWriter, out: Path, manifest_path: Path, progress: Progress) -> None:
    split = writer.split.name
    for folder in (manifest_path.parent, out / split, out / "annotations"):
        make_folder(folder)
    _write_manifest(manifest_path, writer, {})
    wanted = {writer.file_name(i) for i in range(1, writer.num + 1)}
    for path in (out / split).glob("[0-9]*.png"):  # left over from a larger set
        if path.name not in wanted:
            path.unlink()
    boxes, unlabelled, files = {}, {}, {}
    for image_id in range(1, writer.num + 1):
        scene = writer.scene(image_id)
        boxes[image_id] = (scene.boxes, scene.names)
        unlabelled[image_id] = (scene.unlabelled_boxes, scene.unlabelled_names)
        name = f"{split}/{writer.file_name(image_id)}"
        files[name] = _write(out / name, writer.png(scene))
        progress(1)
    for name, text in writer.annotations(boxes, unlabelled).items():
        files[f"annotations/{name}"] = _write(out / "annotations" / name, text.encode())
    _write_manifest(manifest_path, writer, files)


def _write_manifest(path: Path, writer: SplitWriter, files: dict[str, str]) -> None:
    _write(path, json.dumps({"recipe": _recipe(writer), "files": files}, indent=0).encode())


def _repair(writer: SplitWriter, out: Path, files: dict[str, str], damaged: list[str]) -> bool:
    """Redraw single images; False if the split has to be made anew.

    That is so when annotations are damaged, or when this machine's libraries draw other bytes than
    the ones that made the set: mixing the two would be neither.
    """
    for name in damaged:
        folder, file = name.split("/")
        if folder != writer.split.name:
            return False
        png = writer.png(writer.scene(int(Path(file).stem)))
        if hashlib.sha256(png).hexdigest() != files[name]:
            return False
        make_folder(out / folder)
        _write(out / name, png)
    return True


def _recipe(writer: SplitWriter) -> dict:
    """Recipe plus the hash of the data it draws from, in the form JSON gives back."""
    digest = hashlib.sha256()
    for path in writer.sources():
        digest.update(path.read_bytes())
    return json.loads(json.dumps(writer.recipe() | {"source": digest.hexdigest()}))


def _read_manifest(path: Path) -> dict | None:
    """Return the manifest, or None if there is no readable one."""
    try:
        manifest = read_json(path, own=True)
    except (FileNotFoundError, ValueError):
        return None
    valid = isinstance(manifest, dict) and {"recipe", "files"} <= manifest.keys()
    return manifest if valid else None


def _fits(path: Path, digest: str) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == digest
    except OSError:
        return False


def _write(path: Path, data: bytes) -> str:
    """Write a file in one step (no half-written file after an interruption); return its sha256."""
    with whole_file(path) as partial:
        partial.write_bytes(data)
    return hashlib.sha256(data).hexdigest()

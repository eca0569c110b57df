"""The notebook of the first steps: stored without outputs, and run as a user would."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.yolo_world import ROOT

NOTEBOOK = ROOT / "examples/quickstart.ipynb"


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def said_by(cell):
    """Text on standard output, and plain text of what it shows."""
    texts = [out.text for out in cell.outputs if out.get("name") == "stdout"]
    return "".join(
        texts + [out.data.get("text/plain", "") for out in cell.outputs if "data" in out]
    )


def test_it_is_stored_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in code_cells(notebook))
    assert NOTEBOOK.stat().st_size < 20_000


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    folders = (NOTEBOOK.parent, ROOT / "data/emoji_world")
    before = [sorted(folder.iterdir()) for folder in folders]
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = dict(metadata=dict(path=str(NOTEBOOK.parent)))
    NotebookClient(notebook, timeout=1800, kernel_name="python3", resources=resources).execute()
    cells = code_cells(notebook)
    texts = {cell.source: said_by(cell) for cell in cells}

    def said(part):
        (text,) = [text for source, text in texts.items() if part in source]
        return text

    assert "made: id_val, id_val_clean, id_test" in said("negas emoji-world")
    assert "known classes: person bird cat" in said('Inferencer("emoji-world"')
    boxes, tau = re.search(r"(\d+) boxes, tau (-?\d\.\d+)", said("np.quantile")).groups()
    assert int(boxes) > 20 and -1 < float(tau) < 1
    known, unknown = re.search(r"(\d+) known, (\d+) unknown", said("return_vis")).groups()
    assert int(unknown) > 0
    table = said("to_pandas().drop")
    assert "unknown_like" in table and table.count("False") == int(unknown)
    total = int(known) + int(unknown)
    assert f"{total} boxes, {unknown} unknown:" in said("to_supervision")
    assert "tau: None\n" in said("set_labels([")
    table = said("negas report")
    assert "Headline." in table and "near" in table and "YOLO-World (stock) [NegS]" in table
    numbers = said("run.to_pandas")
    assert all(score in numbers for score in ("energy", "max_sigmoid", "msp", "negs"))
    shown = [out for cell in cells for out in cell.outputs if "image/png" in out.get("data", {})]
    assert len(shown) == 1
    assert [sorted(folder.iterdir()) for folder in folders] == before
    (folder,) = tmp_path.glob("negas-*")
    assert {path.name for path in folder.iterdir()} == {"data", "log.txt", "run"}

"""The OSCR curve as it is drawn: its points, the recalls that tables name, and the area."""

import numpy as np
import pytest

from negas.metrics import oscr, oscr_curve
from negas.visualization import curves


def test_oscr_curves_are_drawn_with_their_area(tmp_path, monkeypatch):
    kept = []
    save = curves.save_figure
    monkeypatch.setattr(curves, "save_figure", lambda *how: kept.append(how[0]) or save(*how))
    known, unknown = np.array([0.9, 0.7, 0.2, -np.inf]), np.array([0.8, -np.inf])
    curves.plot_oscr(dict(near=dict(NegS=(known, unknown))), tmp_path / "oscr.png")
    assert (tmp_path / "oscr.png").stat().st_size > 5000
    (axis,) = kept[0].axes
    first, *recalls = axis.lines
    assert [line.tolist() for line in first.get_data()] == [
        side.tolist() for side in oscr_curve(known, unknown)
    ]
    assert [line.get_xdata()[0] for line in recalls] == pytest.approx([0.5, 0.6, 0.7])
    assert axis.get_legend().get_texts()[0].get_text() == "NegS (50.0)"
    assert oscr(known, unknown).oscr == pytest.approx(4 / 8)  # pairs won
    assert (axis.get_xlim(), axis.get_ylim(), axis.get_title()) == ((0, 1), (0, 1), "near")

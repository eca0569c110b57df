"""Which sets a test runs, and in which order."""

from types import SimpleNamespace

import pytest

from negas.engine import ood_loop
from negas.engine.ood_loop import OODTestLoop, OODValLoop


class Metric:
    """Notes the sets."""

    def begin_run(self, model, runner, sets, stage):
        self.sets = list(sets)

    def begin_set(self, name):
        self.name = name


@pytest.mark.parametrize("kind", [OODTestLoop, OODValLoop])
@pytest.mark.parametrize(
    ("keeps", "finder", "wanted"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_the_clean_set_runs_only_where_cells_are_kept(monkeypatch, kind, keeps, finder, wanted):
    model = SimpleNamespace(
        bbox_head=SimpleNamespace(test_cfg=dict(keep_cells=keeps)),
        finder=object() if finder else None,
        eval=lambda: None,
    )
    monkeypatch.setattr(ood_loop, "as_detector", lambda wrapped: wrapped)
    loop, ran = object.__new__(kind), []
    names = ("id_val", "id_val_clean")
    loaders = {name: SimpleNamespace(dataset=f"{name}_dataloader") for name in names}
    metric = Metric()
    loop.__dict__.update(
        _runner=SimpleNamespace(model=model),
        ood_metric=metric,
        ood_dataloaders=dict(near=SimpleNamespace(dataset="near")),
        _run_set=lambda name, loader: ran.append((name, loader.dataset)),
        dataloader=SimpleNamespace(dataset="dataloader"),
        more_id_dataloaders=loaders,
    )
    loop._begin()
    clean = wanted and kind is OODTestLoop
    validation = ["id_val", "id_val_clean"] if clean else ["id_val"]
    assert metric.sets == ["id", *validation, "near"] and metric.name == "id"
    assert ran == [(name, f"{name}_dataloader") for name in validation]

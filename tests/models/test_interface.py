"""Detectors as the rest of negas sees them: any of ours, none of others."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from torch import nn

import negas.register  # noqa: F401
from negas.models.base import BaseDetector, as_detector, detector_class, detector_names
from negas.models.interface import OODDetector
from negas.scores import SCORES
from tests.helpers.detector import batch, build_detector
from tests.helpers.grounding_dino import build_grounding_dino
from tests.helpers.length_score import Length


@pytest.mark.parametrize(
    ("build", "kind", "options"),
    [
        (build_detector, "YOLOWorldDetector", set()),
        (build_detector, "NegASYOLOWorldDetector", {"prompt_negatives"}),
        (build_grounding_dino, "GroundingDINODetector", {"prefix", "token_reduce"}),
        (
            build_grounding_dino,
            "NegASGroundingDINO",
            {"prefix", "token_reduce", "prompt_negatives", "neg_path"},
        ),
    ],
)
def test_a_detector_answers_all_that_is_asked(build, kind, options):
    model = build(type=kind).eval()
    hints = OODDetector.__annotations__
    methods = [name for name in vars(OODDetector) if not name.startswith("_")]
    assert len(hints) > 10 and len(methods) >= 6
    lacking = [name for name in (*hints, *methods) if not hasattr(model, name)]
    assert lacking == []
    negas_kind = kind.startswith("NegAS")
    assert model.takes_negatives is negas_kind is bool(model.neg_labels)
    assert (model.prompt is not None) is (model.postprocessor is not None) is negas_kind
    assert set(model.text_options) == options
    assert model.template.format("cat").endswith("cat")
    assert as_detector(model) is model


@pytest.fixture
def third():
    """Another detector, in a place of its own."""

    @MODELS.register_module(name="ThirdDetector")
    class Third(BaseDetector, nn.Module):
        template = "{}"

    yield Third
    MODELS.module_dict.pop("ThirdDetector")


def test_a_third_detector_is_known_by_being_registered(third):
    assert "'ThirdDetector'" in detector_names(takes_negatives=False)
    cfg = ConfigDict(type="ThirdDetector", class_names=["cat"])
    detector_class(cfg).set_labels(cfg, ["dog", "fox"])
    model = MODELS.build(cfg)
    assert as_detector(model).class_names == ("dog", "fox") and model.prompt is None
    with pytest.raises(ValueError, match="'ThirdDetector' takes no negative labels.*'NegASYOLOW"):
        third.set_labels(cfg, negatives=["bear"])


def test_other_detectors_are_refused_in_one_sentence():
    sentence = "no open-vocabulary detector of negas; use a config with 'NegASGroundingDINO' or"
    with pytest.raises(ValueError, match=f"model.type='FasterRCNN' is {sentence}"):
        detector_class(dict(type="FasterRCNN"))
    with pytest.raises(ValueError, match="model.type='NoSuch' is no open-vocabulary"):
        detector_class(dict(type="NoSuch"))
    with pytest.raises(ValueError, match=f"Linear is {sentence}"):
        as_detector(nn.Linear(1, 1))


def test_logits_stay_only_where_the_call_says_so():
    judge = MODELS.build(dict(type="OODPostProcessor", score="msp", tau=0.0))
    assert type(MODELS.build(dict(type="NegSPostProcessor"))) is type(judge)

    def found():
        return InstanceData(id_logits=torch.zeros(2, 3), scores=torch.ones(2))

    assert "id_logits" in judge(found(), keep_logits=True)
    assert "id_logits" not in judge(found()), "an earlier call changes nothing"


@pytest.fixture
def length(monkeypatch):
    """A score that no logit can give, as the postprocessor's config names it."""
    monkeypatch.setitem(SCORES, "length", Length)
    return dict(type="OODPostProcessor", score="length", tau=1.0)


@pytest.mark.parametrize("build", [build_detector, build_grounding_dino])
def test_a_score_of_embeddings_gets_them_and_they_stay_only_if_asked_for(build, length):
    model = build(postprocessor=length).eval()
    found = {}
    for keep in (False, True):
        model.bbox_head.test_cfg.update(keep_logits=False, keep_embeddings=keep)
        with torch.no_grad():
            found[keep] = model.predict(*batch())[0].pred_instances
    kept, bare = found[True], found[False]
    want = kept.embeddings.double().norm(dim=-1)
    assert len(kept) and torch.equal(bare.id_scores, want.float())
    assert torch.equal(bare.known, want >= 1)
    assert not {"embeddings", "id_cosines", "neg_cosines", "id_logits"} & set(bare.keys())
    model = build().eval()
    model.bbox_head.test_cfg.update(keep_embeddings=False)
    assert not model.needs_embeddings

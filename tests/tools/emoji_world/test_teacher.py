"""Teacher files: cleaning of names, senses, composed names, target directions, bad files."""

import json

import numpy as np
import pytest
import torch
from teacher import add_composed, clean_names, load_teacher, principal_axes, target_directions


def write_teacher(path, names, dim=8, seed=0):
    embeddings = np.random.default_rng(seed).normal(1, 1, (len(names), dim)).astype(np.float16)
    np.savez(path, names=np.array(names), embeddings=embeddings)
    return embeddings.astype(np.float32)


def test_underscores_case_and_unambiguous_senses():
    raw = ["Traffic_Light", "bat_(animal)", "Washing  Machine", "monitor_(equipment) screen"]
    assert clean_names(raw) == ["traffic light", "bat", "washing machine", "monitor screen"]


def test_ambiguous_senses_keep_their_words():
    raw = ["octopus_(food)", "octopus_(animal)", "bus_(vehicle)", "bus"]
    assert clean_names(raw) == ["octopus food", "octopus animal", "bus vehicle", "bus"]


def test_duplicates_senses_and_spelling(tmp_path):
    names = ["traffic_light", "cat", "Traffic light", "octopus_(food)", "octopus_(animal)", "Cat"]
    table = torch.from_numpy(write_teacher(tmp_path / "t.npz", names))
    teacher = load_teacher(str(tmp_path / "t.npz"))
    assert teacher.names == ["traffic light", "cat", "octopus food", "octopus animal", "octopus"]
    assert torch.equal(teacher.embeddings[0], table[2])  # without underscore wins
    assert torch.equal(teacher.embeddings[1], table[1])  # the first of equals
    unit = torch.nn.functional.normalize(table[3:5], dim=-1).mean(0)
    cosine = torch.cosine_similarity(teacher.embeddings[4], unit, dim=0)
    assert cosine.item() == pytest.approx(1, abs=1e-6)


def test_composed_names_are_means_and_never_replace(tmp_path):
    write_teacher(tmp_path / "t.npz", ["cow", "horse", "cat"])
    teacher = load_teacher(str(tmp_path / "t.npz"))
    composed = {"farm animal": ["cow", "horse"], "cat": ["cow"]}
    (tmp_path / "c.json").write_text(json.dumps(composed))
    larger = add_composed(teacher, str(tmp_path / "c.json"))
    assert larger.names == ["cow", "horse", "cat", "farm animal"]
    assert torch.equal(larger.embeddings[:3], teacher.embeddings)
    cosines = torch.cosine_similarity(larger.embeddings[3:], teacher.embeddings)
    assert cosines[0].item() == pytest.approx(cosines[1].item(), abs=1e-5)
    assert cosines[2] < cosines[0]
    (tmp_path / "c.json").write_text(json.dumps({"bird": ["crow"]}))
    with pytest.raises(ValueError, match="'bird' needs members among the teacher's names"):
        add_composed(teacher, str(tmp_path / "c.json"))


def test_centred_directions_are_unit_and_spread():
    raw = torch.randn(200, 32, generator=torch.Generator().manual_seed(0)) + 2
    centred, plain = target_directions(raw), target_directions(raw, center=False)
    torch.testing.assert_close(centred.norm(dim=1), torch.ones(200))
    mean_cosine = [((x @ x.T).sum() - 200) / (200 * 199) for x in (centred, plain)]
    assert abs(mean_cosine[0]) < 0.02 and mean_cosine[1] > 0.5


def test_bound_is_one_at_full_rank_and_reached_by_projection():
    directions = target_directions(torch.randn(50, 6, generator=torch.Generator().manual_seed(1)))
    assert principal_axes(directions, 6)[2] == pytest.approx(1, abs=1e-6)
    axes, scale, bound = principal_axes(directions, 3)
    projected = directions @ axes @ axes.T
    cosine = torch.cosine_similarity(projected, directions).mean().item()
    assert cosine == pytest.approx(bound, abs=1e-5) and scale.shape == (3,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"names": np.array(["a", "b"])}, "cannot be read"),
        ({"names": np.array(["a"]), "embeddings": np.ones((2, 3))}, "1 names and embeddings"),
        ({"names": np.array(["a", "b"]), "embeddings": np.zeros((2, 3))}, "zero, NaN or infinite"),
    ],
)
def test_unusable_files_are_named(tmp_path, content, message):
    np.savez(tmp_path / "bad.npz", **content)
    with pytest.raises(ValueError, match=message):
        load_teacher(str(tmp_path / "bad.npz"))


def test_missing_file_broken_file_and_missing_names(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_teacher(str(tmp_path / "none.npz"))
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(ValueError, match="cannot be read"):
        load_teacher(str(tmp_path / "text.npz"))
    with pytest.raises(ValueError, match="needs --names FILE"):
        load_teacher("some/encoder")
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    with pytest.raises(ValueError, match="neither an .npz file nor a CLIP text encoder"):
        load_teacher(str(tmp_path / "nowhere"), str(tmp_path / "names.txt"))


def test_teacher_may_be_an_encoder(tmp_path, text_model, tokenizer_dir, tokenizer):
    import shutil

    from negas.embeddings import encode_labels

    shutil.copytree(tokenizer_dir, tmp_path / "clip")
    text_model.save_pretrained(tmp_path / "clip")
    (tmp_path / "names.txt").write_text("Potted_Plant\ncat\ncat\n")
    teacher = load_teacher(str(tmp_path / "clip"), str(tmp_path / "names.txt"))
    expected = encode_labels(
        text_model, tokenizer, ["potted plant", "cat"], template="a {}", normalize=False
    )
    assert teacher.names == ["potted plant", "cat"]
    torch.testing.assert_close(teacher.embeddings, expected, atol=1e-5, rtol=0)

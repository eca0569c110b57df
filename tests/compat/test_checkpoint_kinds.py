"""What a checkpoint file may hold: the same weights, whatever it calls them, or one sentence."""

import tarfile
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from negas import compat
from negas.compat.checkpoint import FILE, TRAINED, load_checkpoint

compat.install()
A = torch.arange(3.0)


@pytest.mark.parametrize(
    "content",
    [
        dict(state_dict=dict(a=A)),
        dict(model=dict(a=A), epoch=3),
        dict(model_state_dict=dict(a=A), optimizer={}),
        dict(a=A),
        dict(state_dict={"module.a": A}),
        dict(model={"module._orig_mod.module.a": A}),
        dict(state_dict=dict(a=A.numpy())),
        dict(a=A.half()),
        OrderedDict(a=nn.Parameter(A)),
    ],
)
def test_weights_are_found_under_any_usual_name(tmp_path, content):
    torch.save(content, tmp_path / "file.pth")
    state = load_checkpoint(tmp_path / "file.pth")["state_dict"]
    assert list(state) == ["a"] and isinstance(state["a"], torch.Tensor)
    assert state["a"].tolist() == [0, 1, 2]


def test_only_the_beginning_of_a_name_is_a_prefix(tmp_path):
    torch.save({"module.head_module.a": A}, tmp_path / "file.pth")
    assert list(load_checkpoint(tmp_path / "file.pth")["state_dict"]) == ["head_module.a"]


def test_the_state_dict_knows_its_file_and_its_training(tmp_path):
    meta = dict(negas=dict(base_sha256="ab"))
    weights = OrderedDict(a=A)
    weights._metadata = {"": {TRAINED: "forged"}}
    torch.save(dict(state_dict=weights, meta=meta), tmp_path / "file.pth")
    loaded = load_checkpoint(tmp_path / "file.pth")
    known = loaded["state_dict"]._metadata[""]
    assert known == {FILE: str(tmp_path / "file.pth"), TRAINED: meta["negas"]}
    assert loaded["meta"] == meta


NAN = dict(a=A, b=A / 0, c=torch.full((2,), float("inf")), d=torch.arange(2))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (dict(state_dict=None), r"\['state_dict'\].*NoneType"),
        (dict(state_dict=[A]), r"\['state_dict'\].*list"),
        (dict(state_dict=dict(a=None)), r"\['a'\].*NoneType"),
        (dict(state_dict=dict(a=3)), r"\['a'\].*int"),
        (dict(state_dict=dict(a=10**400)), r"\['a'\].*int"),
        (dict(state_dict={1: A}), "key 1"),
        (dict(state_dict={"\x1b[2J" * 9000: 1}), "x1b.*int"),
        (dict(state_dict=dict(a=np.array(["x"]))), r"\['a'\].*array of"),
        (dict(state_dict={"a": A, "module.a": A}), "'a' with and without"),
        (dict(optimizer={}, epoch=3), r"\['optimizer'\].*dict"),
        (dict(state_dict={}), "no weights"),
        ({}, "no weights"),
        (7, "holds a int"),
        (dict(state_dict=NAN), "NaN or infinite: 'b', 2 of 4"),
        (dict(NAN), "NaN or infinite: 'b', 2 of 4"),
    ],
)
def test_what_is_no_weight_is_named(tmp_path, content, words):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=r"odd\.pth'.*" + words) as caught:
        load_checkpoint(tmp_path / "odd.pth")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def script(path):
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), path)


def tar(path):
    (path.parent / "pickle").write_bytes(b"x")
    with tarfile.open(path, "w") as archive:
        archive.add(path.parent / "pickle", "pickle")


def zip_of_texts(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "x")


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (script, "TorchScript"),
        (tar, "tar archive"),
        (zip_of_texts, "zip archive"),
        (lambda path: path.write_text("/old/place/epoch_1.pth"), "text file.*epoch_1"),
        (lambda path: path.write_text("<!DOCTYPE html>\n<html>"), "text file.*DOCTYPE"),
    ],
)
def test_other_formats_are_named(tmp_path, make, words):
    make(tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=r"odd\.pth' is a " + words) as caught:
        load_checkpoint(tmp_path / "odd.pth")
    assert "\n" not in str(caught.value)


def test_a_safetensors_header_with_a_huge_number(tmp_path):
    header = b'{"a":{"dtype":"F32","shape":[' + b"9" * 400 + b'],"data_offsets":[0,4]}}'
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(ValueError, match=r"odd\.safetensors' is truncated or no safetensors"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        dict(state_dict=dict(model=dict(a=A))),
        dict(model=dict(state_dict={"module.a": A}), epoch=1),
        dict(model="a text", state_dict=dict(a=A)),
    ],
)
def test_weights_are_found_in_two_wrappers(tmp_path, content):
    torch.save(content, tmp_path / "file.pth")
    assert list(load_checkpoint(tmp_path / "file.pth")["state_dict"]) == ["a"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.eye(2).to_sparse(), "sparse"),
        (torch.zeros(2, device="meta"), "meta"),
        (torch.zeros(2, dtype=torch.complex64), "complex64"),
        (dict(b=A), r"\['a'\].*dict.*state_dict"),
        (A.double() + 1e300, "NaN or infinite"),
        ((A / 0).to(torch.float8_e5m2), "NaN or infinite"),
    ],
)
def test_a_weight_is_a_dense_tensor_of_numbers(tmp_path, value, words):
    torch.save(dict(state_dict=dict(a=value)), tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=rf"odd.pth.*{words}"):
        load_checkpoint(tmp_path / "odd.pth")


def test_the_content_says_the_format(tmp_path):
    from safetensors.torch import save_file

    save_file(dict(a=A), tmp_path / "right.safetensors")
    (tmp_path / "right.safetensors").rename(tmp_path / "named.pth")
    assert list(load_checkpoint(tmp_path / "named.pth")["state_dict"]) == ["a"]
    torch.save(dict(a=A), tmp_path / "named.safetensors")
    with pytest.raises(ValueError, match=r"named.safetensors.*torch.save.*rename"):
        load_checkpoint(tmp_path / "named.safetensors")
    (tmp_path / "zeros.pth").write_bytes(bytes(4000))
    with pytest.raises(ValueError, match=r"zeros.pth.*zeros"):
        load_checkpoint(tmp_path / "zeros.pth")
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as archive:
        archive.writestr("a/data.pkl", "x")
    with pytest.raises((ValueError, RuntimeError), match=r"odd.zip"):
        load_checkpoint(tmp_path / "odd.zip")


def test_the_text_of_a_config_is_left_out(tmp_path):
    """MMEngine runs it as Python code when it resumes."""
    meta = dict(epoch=1, config="raise SystemExit", cfg="raise SystemExit")
    torch.save(dict(state_dict=dict(a=A), meta=meta), tmp_path / "file.pth")
    assert load_checkpoint(tmp_path / "file.pth")["meta"] == dict(epoch=1)

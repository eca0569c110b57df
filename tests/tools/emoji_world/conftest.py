"""A small teacher and the tool that makes encoders of it."""

import make_tiny_clip
import numpy as np
import pytest

NAMES = """cat dog horse cow sheep bird boat car bus train bicycle bottle chair couch tv zebra
bear lamp knife fork spoon cup bowl apple pear grape drum violin guitar flute""".split()


@pytest.fixture(scope="session")
def tool():
    return make_tiny_clip


@pytest.fixture(scope="session")
def teacher(tmp_path_factory):
    """A file of 30 names, also with the sources that a teacher may hold."""
    path = tmp_path_factory.mktemp("teacher") / "teacher.npz"
    embeddings = np.random.default_rng(0).normal(1, 1, (len(NAMES), 24)).astype(np.float16)
    sources = np.array(["x"] * len(NAMES))
    np.savez(path, names=np.array(NAMES), source=sources, embeddings=embeddings)
    return path

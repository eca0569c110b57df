"""README and docs: links lead somewhere, named files exist, tables agree with results/, short."""

import io
import re
import runpy
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from typing import ClassVar
from unittest.mock import patch

import pytest
import torch
from mmengine.config import Config

from negas.scores import SCORES
from negas.scores.base import NegativeScore
from tests.helpers.yolo_world import ROOT
from tools.render_results import fill

DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*DOCS, ROOT / "results/README.md", *sorted((ROOT / "data").rglob("*.md"))]
SUBCOMMANDS = ("tools/prepare_data.py", "tools/emoji_world/make_tiny_clip.py")
TOPS = ("", "negas")  # what a path may start from
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# of the repository, with * and {a,b}
PATH = re.compile(r"(?<![\w/.])(?:negas|tools|configs|tests|results|docs)/[\w./*{},-]*\w[}*]?")
# written with the pages that name them


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def anchors(page):
    """Anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = set()
    for heading in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", heading).replace(" ", "-"))
    return found


def expanded(path):
    """A path with braces written out, as the shell does."""
    match = re.search(r"\{([^{}]*)\}", path)
    if not match:
        return [path]
    return [
        one
        for part in match[1].split(",")
        for one in expanded(path[: match.start()] + part + path[match.end() :])
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_named_files_exist(page):
    missing = [
        path
        for named in PATH.findall(page.read_text(encoding="utf-8"))
        for path in expanded(named)
        if "NAME" not in path and not any(ROOT.glob(path))
    ]
    assert not missing


def test_files_of_the_paper_map_exist():
    text = (ROOT / "docs/paper_map.md").read_text(encoding="utf-8")
    named = [path for path in re.findall(r"`(\w[\w/]*/(?:\w+\.py)?)`", text)]
    assert len(named) > 20
    assert not [path for path in named if not any((ROOT / top / path).exists() for top in TOPS)]


def test_every_page_and_picture_is_reached():
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in DOCS
        for link in LINK.findall(page.read_text(encoding="utf-8"))
    }
    wanted = {*DOCS[1:], *(ROOT / "docs/images").iterdir(), *(ROOT / "results").glob("README.md")}
    assert wanted <= linked


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_tables_hold_the_numbers_of_the_results(page):
    text = page.read_text(encoding="utf-8")
    assert fill(text) == text, "run python tools/render_results.py --fill"
    assert text.count("<!-- results: ") == text.count("<!-- end -->")


def test_docs_are_short():
    texts = [page.read_text(encoding="utf-8") for page in DOCS]
    assert len(texts[0].split()) <= 900, "README"
    measured = re.compile(r"<!-- results: .*?<!-- end -->", re.DOTALL)
    assert sum(len(measured.sub("", text).split()) for text in texts) <= 13750, "README and docs"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tools_know_the_options_that_a_page_gives_them(page):
    blocks = re.findall(r"```(?:bash)?\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        match = re.match(r"python (tools/[\w/]+\.py)( [a-z0-9-]+(?= |$))?", line)
        if match and (ROOT / match[1]).is_file():
            flags = {arg for arg in shlex.split(line, comments=True) if arg.startswith("--")}
            assert flags <= known_flags(match[1], match[2] if match[1] in SUBCOMMANDS else None), (
                line
            )


@cache
def known_flags(tool, command=None):
    """Options in a tool's help."""
    argv = [str(ROOT / tool), *([command.strip()] if command else []), "--help"]
    with patch.object(sys, "argv", argv), redirect_stdout(io.StringIO()) as out:
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(argv[0], run_name="__main__")
    assert not ended.value.code, argv
    return set(re.findall(r"--[a-z][\w-]*", out.getvalue()))


def example(start):
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/extending.md").read_text(), flags=re.DOTALL
    )
    (block,) = [block for block in blocks if block.startswith(start)]
    return block


def test_the_example_of_a_score_works():
    names = dict(
        SCORES=SCORES,
        dataclass=dataclass,
        NegativeScore=NegativeScore,
        ClassVar=ClassVar,
        Tensor=torch.Tensor,
    )
    try:
        exec(example("@SCORES"), names)  # noqa: S102
        score = SCORES["margin"]()
        assert score(torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0, 0.5]])).item() == 1.0
        assert score.title == "margin"
    finally:
        SCORES.pop("margin", None)


def test_the_example_of_a_further_set_can_be_read(tmp_path):
    text = example('_base_ = "./voc').replace("./voc.py", f"{ROOT}/configs/_base_/datasets/voc.py")
    (tmp_path / "mine.py").write_text(text)
    found = Config.fromfile(tmp_path / "mine.py").test_cfg.ood_dataloaders
    assert list(found) == ["coco", "openimages", "lvis"]
    assert found.lvis.dataset.pipeline == found.coco.dataset.pipeline


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mkdocs", "build", "--strict"),
            *("--config-file", "tools/dev/mkdocs.yml", "--site-dir", tmp_path / "site"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    api = (tmp_path / "site/docs/api.html").read_text(encoding="utf-8")
    assert "negas.labels.bank.NegativeLabelBank" in api and "negas.metrics.roc.ood_metrics" in api
    assert (tmp_path / "site/index.html").is_file() and (tmp_path / "site/results").is_dir()

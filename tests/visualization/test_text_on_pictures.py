"""Names on pictures: as they stand, in one line, in letters that a font has, cut."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from PIL import Image

from negas.visualization import text as fonts
from negas.visualization.boxes import draw_scene, mark_scale, paintable
from negas.visualization.curves import draw_histogram, plot_roc, save_figure
from negas.visualization.heatmaps import HeatMap, HeatRow, paint_heat
from negas.visualization.text import drawable, font_file, image_font, plain_figure
from negas.visualization.visualizer import VerdictVisualizer

GREY = (128, 128, 128)
NAMES = [
    "$_$ cat",
    "$x",
    r"\$100\$ $\frac$",
    "$$",
    "50% _{",
    "Katze größer",
    "кошка",
    "قطة",
    "猫",
    "ねこ $_$",
    "고양이",
    "😀",
    "👩‍👧",
    "a\nb\tc",
    "\x1b[31mred\x9b",
    "\u202egnp",
    "\ud800",
    "",
    "x" * 100_000,
]


@pytest.fixture(autouse=True)
def only_matplotlibs_fonts(monkeypatch):
    """The same on every machine: no font for Chinese, Korean, Japanese."""
    from matplotlib import get_data_path

    first = f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf"
    monkeypatch.setattr(fonts, "_installed", lambda: [first])
    font_file.cache_clear()
    yield
    font_file.cache_clear()


@pytest.mark.parametrize("name", NAMES)
def test_every_name_becomes_one_line_that_a_font_has(name):
    line = drawable(name)
    assert len(line) <= 80 and line.isprintable()
    assert line.isascii() or font_file(line)
    assert image_font(line, 15).getlength(line) >= 0


def test_letters_without_a_font_are_spelled():
    assert drawable("猫 dog 犬") == "U+732B dog U+72AC"
    assert drawable("кошка $x$") == "кошка $x$"
    assert drawable("\x1bred") == r"\x1bred"


def test_a_font_that_has_the_letters_is_used(monkeypatch, tmp_path):
    """Where one is installed, nothing is spelled."""
    monkeypatch.setattr(fonts, "_installed", lambda: ["latin.ttf", "chinese.ttf"])
    letters = {"latin.ttf": map(ord, "abc "), "chinese.ttf": map(ord, "abc 猫")}
    letters = {path: frozenset(codes) for path, codes in letters.items()}
    monkeypatch.setattr(fonts, "_letters", letters.__getitem__)
    assert drawable("a猫") == "a猫" and font_file("a猫") == "chinese.ttf"
    assert drawable("b犬猫") == "b U+72AC U+732B"


@pytest.mark.parametrize("name", NAMES)
def test_figures_take_any_text(tmp_path, name):
    rng = np.random.default_rng(0)
    id_scores, ood = rng.random(9), {name: rng.random(9)}
    save_figure(draw_histogram(id_scores, ood, name), tmp_path / "a.png")
    plot_roc({name: {name: (id_scores, ood[name])}}, tmp_path / "a.svg")
    heat = HeatMap(np.eye(2), name, name)
    paint_heat(
        np.zeros((4, 4, 3), np.uint8), [HeatRow(name, [heat])], tmp_path / "b.png", None, name
    )
    assert Image.open(tmp_path / "a.png").size[0] < 2000


def test_a_figures_texts_are_no_formulas():
    figure = Figure()
    axis = figure.subplots()
    axis.plot([1, 2], label="$_$")
    axis.set(title="$a$", xlabel="$x_1$")
    axis.legend(title="$")
    plain_figure(figure)
    figure.draw_without_rendering()
    legend = axis.get_legend()
    texts = [axis.title, axis.xaxis.label, legend.get_title(), *legend.get_texts()]
    assert [text.get_text() for text in texts] == ["$a$", "$x_1$", "$", "$_$"]
    assert not any(text.get_parse_math() for text in texts)


def sample(verdict, name=None):
    boxes = torch.tensor([[40.0, 40.0, 200.0, 160.0]])
    found = InstanceData(bboxes=boxes, labels=torch.tensor([0]), scores=torch.tensor([0.9]))
    if verdict:
        found.known, found.id_scores = torch.tensor([True]), torch.tensor([0.9])
    if name is not None:
        found.label_names = [name]
    return DetDataSample(pred_instances=found)


@pytest.fixture(scope="module")
def visualizer():
    return VerdictVisualizer("names on pictures")


@pytest.mark.parametrize("verdict", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_the_visualizer_paints_any_name(visualizer, name, verdict):
    image = np.full((240, 320, 3), 128, np.uint8)
    visualizer.dataset_meta = dict(classes=(name,), palette=[(0, 0, 255)])
    given = None if verdict else name
    visualizer.add_datasample("a", image, sample(verdict, given), draw_gt=False)
    assert visualizer.drawn.shape == image.shape
    assert (visualizer.drawn != 128).any()


@pytest.mark.parametrize("verdict", [True, False])
def test_of_a_huge_picture_a_reduced_copy_is_painted(visualizer, monkeypatch, verdict):
    """Boxes are scaled, the sample stays as it was, and the picture says it."""
    from negas.visualization import boxes

    monkeypatch.setattr(boxes, "_HUGE", 1000 * 1000)
    monkeypatch.setattr(boxes, "_REDUCED", 400)
    image = np.full((1000, 2000, 3), 128, np.uint8)
    found = sample(verdict)
    found.pred_instances.bboxes *= 5  # 200, 200 to 1000, 800
    before = found.pred_instances.bboxes.clone()
    visualizer.dataset_meta = dict(classes=("cat",), palette=[(0, 0, 255)])
    visualizer.add_datasample("a", image, found, draw_gt=False)
    assert visualizer.drawn.shape == (200, 400, 3)
    assert torch.equal(found.pred_instances.bboxes, before)
    painted = (np.abs(visualizer.drawn.astype(int) - 128) > 20).any(-1)
    assert painted[100, 38:43].any() and painted[100, 198:203].any(), "the sides of the box"
    assert painted[-15:, :100].mean() > 0.5, "the note"


@pytest.mark.parametrize("size", [(30, 50), (8000, 6000), (7000, 7200), (1, 50_000_001)])
def test_pictures_over_50_megapixels_are_reduced(size):
    pixels = np.broadcast_to(np.zeros(3, np.uint8), (*size, 3))
    page, scale = paintable(pixels)
    if size[0] * size[1] <= 50_000_000:
        assert page is pixels and scale == 1
    else:
        assert max(page.shape) == 4096 and scale == pytest.approx(4096 / max(size))


def test_the_note_stands_on_reduced_pictures_only():
    page = Image.new("RGB", (300, 60), GREY)
    mark_scale(page, 1.0, 300, 60)
    assert page.getcolors() == [(300 * 60, GREY)]
    mark_scale(page, 0.5, 600, 120)
    assert len(page.getcolors()) > 1


def test_long_captions_stay_on_the_picture():
    page = draw_scene(
        Image.new("RGB", (60, 60)), np.array([[5.0, 5, 50, 50]]), [True], ["x" * 9999]
    )
    assert page.size == (60, 60)

"""The third tab: another bank, and what it changes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from negas.labels.bank import NegativeLabelBank
from negas.options import check_number

from ..bank import COLUMNS, candidates, changes, names_of_ids, proposed, validation_lines
from ..bench import Bench, Look
from ..html import html_table, lines
from ..painting import painted
from ..validation import fitted_tau
from ..words import typed_words
from .image_tab import SIDE, ImageTab
from .telling import told

MOST = 200  # words that are proposed
_SIDES = tuple(f"{column} {side}" for column in COLUMNS[1:] for side in ("before", "after"))


def bank_tab(bench: Bench, first: ImageTab) -> None:
    """Lay it out; inside of ``gr.Blocks``.

    Args:
        bench: the detector.
        first: the tab with the picture, its names and negatives, which are those before.
    """
    folder = tempfile.TemporaryDirectory(prefix="negas-app-")  # goes with the process
    with gr.Row():
        with gr.Column(min_width=320, scale=2):
            words = gr.Textbox(
                ", ".join(bench.negatives), label="Negatives to try", lines=6, elem_id="try-words"
            )
            compare = gr.Button("Compare", variant="primary", elem_id="compare")
            with gr.Accordion("Propose words", open=False):
                num = gr.Number(20, label="How many", precision=0, minimum=1, maximum=MOST)
                gr.HTML(lines([_PROPOSE]))
                propose = gr.Button("Propose", elem_id="propose")
            keep = gr.DownloadButton("Save as a bank", visible=False, elem_id="keep")
        with gr.Column(min_width=320, scale=3):
            said = gr.HTML(elem_id="bank-said")
            table = gr.HTML(elem_id="changes", apply_default_css=False)
            drawn = gr.Image(
                label="Boxes after",
                interactive=False,
                format="png",
                height=SIDE,
                buttons=["download", "fullscreen"],
            )

    @told(4)
    def differ(look: Look | None, tau: float | None, classes: str, words: str) -> list[Any]:
        if look is None:
            raise ValueError("there is no picture to compare on; press Detect in the first tab")
        names = typed_words(classes, "ID names")
        if tuple(names) != look.results.class_names:
            raise ValueError("the ID names have changed; press Detect in the first tab first")
        negatives = typed_words(words, "negatives to try")
        after = bench.look(look.pixels, names, negatives)
        fitted = fitted_tau(after.id_scores)
        before_tau = fitted_tau(look.id_scores) if fitted is not None else tau
        after_tau = tau if fitted is None else fitted
        one, two = look.at(before_tau), after.at(after_tau)
        found = changes(one, two)
        texts = [f"{sum(change.flipped for change in found)} of {len(found)} boxes change sides."]
        texts += validation_lines(look.id_scores, after.id_scores, before_tau, fitted)
        texts += names_of_ids(negatives, names)
        rows = [
            (change.number, change.label, *(f"{score:.3f}" for score in change.scores))
            + (*change.likes, *change.verdicts)
            for change in found
        ]
        heads = ("box", "label", *_SIDES)
        path = _file(folder.name, names, negatives)
        return [
            html_table(heads, rows, "023"),
            painted(after.pixels, two),
            gr.DownloadButton(value=str(path), visible=True),
            lines(texts),
        ]

    @told(2)
    def suggest(classes: str, num: float) -> list[Any]:
        check_number("how many", num, ge=1, le=MOST)
        names = typed_words(classes, "ID names")
        among = candidates(names)
        feats = bench.text_feats(names, among)
        found = proposed(names, among, feats, int(num))
        note = f"{len(found)} of {len(among)} words; press Compare."
        return [", ".join(found), lines([note])]

    inputs = [first.look, first.tau, first.classes, words]
    outputs = [table, drawn, keep, said]
    compare.click(differ, inputs, outputs, api_visibility="private")
    propose.click(suggest, [first.classes, num], [words, said], api_visibility="private")


_PROPOSE = (
    "Of the shipped vocabulary, the words whose text embeddings are farthest from all ID names, as "
    "NegLabel chooses them, with the detector's own text encoder."
)


def _file(folder: str, names: list[str], negatives: list[str]) -> Path:
    """A bank to download; Gradio makes a copy of it."""
    path = Path(folder) / "bank.json"
    NegativeLabelBank(tuple(names), tuple(negatives), dict(made_by="negas app")).save(path)
    return path

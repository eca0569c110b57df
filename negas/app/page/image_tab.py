"""The first tab: words and thresholds on a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from negas.labels.bank import NegativeLabelBank
from negas.options import check_number
from negas.shipped import bank_names
from negas.unknown.thresholds import LEAST

from ..bench import Bench, Look
from ..html import html_table, lines
from ..judging import COLUMNS, KNOWN, NO_VERDICT, span, table, verdict
from ..painting import painted, places
from ..uploads import read_frame, read_upload
from ..words import typed_words
from .telling import told

STEP = 0.001
SIDE = 480  # pixels of a picture's height on the page
STATE_SECONDS = 3600  # that a closed page's picture is kept


@dataclass(frozen=True)
class ImageTab:
    """Components that other tabs read.

    Attributes:
        picture: path of the picture.
        classes: ID names, as typed.
        negatives: likewise.
        look: :class:`~negas.app.bench.Look` of the last detection.
        tau: of the verdicts.
        start: what the page does when it is opened, with its inputs and outputs.
    """

    picture: gr.Image
    classes: gr.Textbox
    negatives: gr.Textbox
    look: gr.State
    tau: gr.State
    start: tuple[Callable, list, list]


def image_tab(bench: Bench, examples: Sequence[Path]) -> ImageTab:
    """Lay it out; inside of ``gr.Blocks``.

    Args:
        bench: the detector.
        examples: pictures to choose from.
    """
    names, words = ", ".join(bench.classes), ", ".join(bench.negatives)
    with gr.Row():
        with gr.Column(min_width=320, scale=2):
            picture = gr.Image(
                str(examples[0]) if examples else None,
                label="Picture",
                type="filepath",
                sources=["upload", "webcam", "clipboard"],
                height=300,
                elem_id="picture",
                buttons=[],
                format="png",
            )
            # Gradio would decode it, and fail where it is no picture; a subclass would make Gradio
            # write a stub beside this file
            picture.preprocess = _path
            if examples:
                shown = [[str(path)] for path in examples]
                gr.Examples(shown, [picture], label="Examples", examples_per_page=len(shown))
            with gr.Accordion("A frame of a video", open=False):
                video = gr.File(label="Video", file_types=[".mp4", ".avi", ".mov", ".mkv"])
                number = gr.Number(0, label="Frame", precision=0, minimum=0)
                frame = gr.Button("Take the frame", elem_id="frame")
            classes = gr.Textbox(
                names, label="ID names, with commas between them", lines=2, elem_id="classes"
            )
            negatives = gr.Textbox(
                words, label="Negatives: words for what is none of them", lines=3, elem_id="words"
            )
            bank = gr.Dropdown(
                ["", *bank_names()], value="", label="or the negatives of a bank", elem_id="bank"
            )
            unknown = gr.Checkbox(
                False,
                label="Seek unknown objects by a vocabulary",
                interactive=bench.seeks,
                visible=bench.seeks,
                elem_id="unknown",
            )
            detect = gr.Button("Detect", variant="primary", elem_id="detect")
        with gr.Column(min_width=320, scale=3):
            said = gr.HTML(elem_id="said")
            drawn = gr.Image(
                label="Boxes",
                interactive=False,
                elem_id="drawn",
                format="png",
                height=SIDE,
                buttons=["download", "fullscreen"],
            )
            tau = gr.Slider(-1, 1, 0, step=STEP, label="tau", elem_id="tau", buttons=[])
            unknown_thr = gr.Slider(
                LEAST,
                1,
                0.5,
                step=STEP,
                label="Least score of an unknown object",
                visible=False,
                elem_id="unknown-thr",
                buttons=[],
            )
            listed = gr.HTML(elem_id="boxes", apply_default_css=False)
            plot = gr.Plot(show_label=False, elem_id="places")
    look = gr.State(None, time_to_live=STATE_SECONDS)
    chosen = gr.State(None, time_to_live=STATE_SECONDS)  # tau; None: no verdict
    judged = [drawn, listed, plot, said]

    @told(8)
    def see(path: str | None, classes: str, negatives: str, unknown: bool) -> list[Any]:
        pixels = read_upload(path)
        found = bench.look(
            pixels,
            typed_words(classes, "ID names"),
            typed_words(negatives, "negatives", empty=True),
            unknown,
        )
        scores = found.results.id_score
        low, high = span(found.id_scores, scores, [] if found.tau is None else [found.tau])
        at = low if found.tau is None else found.tau
        thr = found.unknown_thr
        sliders = [
            gr.Slider(low, high, on_step(at)),
            gr.Slider(value=0.5 if thr is None else on_step(thr), visible=thr is not None),
        ]
        return [found, found.tau, *sliders, *_shown(found, found.tau, thr)]

    def judge(found: Look | None, tau: float | None, unknown_thr: float) -> list[Any]:
        if found is None:
            raise ValueError("there are no boxes to judge yet; press Detect first")
        if tau is not None:
            check_number("tau", tau)
        check_number("the least score of an unknown object", unknown_thr, ge=0, le=1)
        return [tau, *_shown(found, tau, unknown_thr)]

    @told(2)
    def take(name: str) -> list[Any]:
        if not name:
            return [gr.skip(), ""]
        loaded = NegativeLabelBank.load(name)
        made_for = ", ".join(loaded.id_labels)
        note = f"{len(loaded)} negatives of {name}, made for {made_for}; press Detect."
        return [", ".join(loaded.neg_labels), lines([note])]

    @told(2)
    def take_frame(path: str | None, number: float | None) -> list[Any]:
        check_number("the frame", number, ge=0)
        return [read_frame(path, number), lines(["Press Detect."])]

    inputs = [picture, classes, negatives, unknown]
    outputs = [look, chosen, tau, unknown_thr, *judged]
    gr.on([detect.click, classes.submit], see, inputs, outputs, api_visibility="private")
    again = dict(
        trigger_mode="always_last", show_progress="hidden", api_visibility="private", queue=True
    )
    for slider, which in ((tau, tau), (unknown_thr, chosen)):
        slider.input(told(5)(judge), [look, which, unknown_thr], [chosen, *judged], **again)
    frame.click(take_frame, [video, number], [picture, said], api_visibility="private")
    bank.input(take, [bank], [negatives, said], api_visibility="private")
    return ImageTab(picture, classes, negatives, look, chosen, (see, inputs, outputs))


def _shown(found: Look, tau: float | None, unknown_thr: float | None) -> list[Any]:
    """Picture, table, plot and sentence of a look at thresholds."""
    results = found.at(tau, unknown_thr)
    rows = table(results, found.id_scores)
    verdicts = [verdict(box.known, box.label) for box in results]
    said = f"{len(rows)} boxes"
    if verdicts.count(NO_VERDICT):
        said += ", no verdict"
    elif rows:
        said += f", {len(rows) - verdicts.count(KNOWN)} of them unknown"
    source = found.tau_from if tau == found.tau else "set by hand"
    texts = [f"{said}. tau {'-' if tau is None else f'{tau:.4f}'}: {source}."]
    if found.unknown_thr is not None and not found.calibrated_thr:
        texts.append("The threshold of unknown objects is not calibrated.")
    figure = places(found.id_scores, results, tau)
    return [
        painted(found.pixels, results),
        html_table(COLUMNS, rows, "03457"),
        gr.Plot(figure, visible=figure is not None),
        lines(texts),
    ]


def _path(upload: Any) -> str | None:
    return None if upload is None else upload.path


def on_step(value: float) -> float:
    """A threshold where the slider can stand: no box that it keeps is lost."""
    return math.floor(value / STEP) * STEP

"""The second tab: mistakes of a finished test."""

from __future__ import annotations

from typing import Any

import gradio as gr

from negas.options import check_number

from ..finished import ANY, MISTAKES, VERDICTS, Finished, Wanted
from ..html import figures, html_table, lines
from .image_tab import STEP, on_step
from .telling import told

PICTURES = 12  # of a page
_COLUMNS = ("set", "rate", "called known", "samples")


def run_tab(run: Finished | None) -> None:
    """Lay it out; inside of ``gr.Blocks``.

    Args:
        run: the test; ``None``: the app was started without one.
    """
    if run is None:
        gr.HTML(lines(["Start the app with --run DIR, the folder of a finished negas test."]))
        return
    low, high = run.range
    gr.HTML(lines([run.title]))
    with gr.Row():
        with gr.Column(min_width=320, scale=2):
            tau = gr.Slider(
                low, high, on_step(run.tau), step=STEP, label="tau", elem_id="run-tau", buttons=[]
            )
            rates = gr.HTML(_table(run, run.tau), elem_id="rates", apply_default_css=False)
            ood_set = gr.Dropdown([ANY, *run.sets], value=ANY, label="Set", elem_id="run-set")
            thing = gr.Dropdown(
                run.choices("things"), value=ANY, label="OOD class", elem_id="run-class"
            )
            negative = gr.Dropdown(
                run.choices("negatives"), value=ANY, label="Nearest negative", elem_id="run-word"
            )
            kind = gr.Dropdown(
                [*VERDICTS, ANY], value=MISTAKES, label="Verdict", elem_id="run-verdict"
            )
        with gr.Column(min_width=320, scale=3):
            said = gr.HTML(elem_id="run-said")
            shown = gr.HTML(elem_id="pictures", apply_default_css=False)

    @told(3)
    def show(tau: float, ood_set: str, thing: str, negative: str, kind: str) -> list[Any]:
        check_number("tau", tau)
        wanted = Wanted(ood_set, thing, negative, kind)
        rows = run.hardest(tau, wanted, PICTURES)
        pictures = [run.picture(row, tau) for row in rows.tolist()]
        said = f"{len(pictures)} boxes, one an image, the hardest first."
        texts = [said if pictures else "No sample fits."]
        return [_table(run, tau), figures(pictures), lines(texts)]

    inputs, outputs = [tau, ood_set, thing, negative, kind], [rates, shown, said]
    how = dict(trigger_mode="always_last", api_visibility="private")
    gr.on([part.input for part in inputs], show, inputs, outputs, show_progress="hidden", **how)
    gr.on([gr.context.Context.root_block.load], show, inputs, outputs, **how)


def _table(run: Finished, tau: float) -> str:
    rows = [(title, rate, f"{share:.1%}", count) for title, rate, share, count in run.rates(tau)]
    return html_table(_COLUMNS, rows, "23")

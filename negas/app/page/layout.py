"""The page: three tabs, Gradio's theme with the system's fonts, nothing from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

# Before Gradio is imported: it asks its makers' server for its newest version, and counts.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr  # noqa: E402

from ..bench import Bench  # noqa: E402
from ..finished import Finished  # noqa: E402
from ..html import STYLE  # noqa: E402
from .bank_tab import bank_tab  # noqa: E402
from .image_tab import image_tab  # noqa: E402
from .run_tab import run_tab  # noqa: E402

TITLE = "negas: known or unknown"
_FONTS = dict(
    font=[gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")],
    font_mono=[gr.themes.Font("ui-monospace"), gr.themes.Font("monospace")],
)


def page(bench: Bench, examples: Sequence[Path] = (), run: Finished | None = None) -> gr.Blocks:
    """The app, ready to be launched.

    Args:
        bench: the detector.
        examples: pictures to choose from; the first is looked at when the page opens.
        run: a finished test.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
        gr.HTML('<h1 style="margin:0">Known or unknown</h1>')
        with gr.Tab("A picture"):
            first = image_tab(bench, examples)
        with gr.Tab("A finished test"):
            run_tab(run)
        with gr.Tab("A bank"):
            bank_tab(bench, first)
        if examples:
            blocks.load(*first.start, api_visibility="private")
    return blocks


def serve(blocks: gr.Blocks, host: str, port: int, max_megabytes: float) -> str:
    """Start the server in the background; returns its address.

    Args:
        blocks: of :func:`page`.
        host: address that is listened on.
        port: of it; 0: a free one.
        max_megabytes: of an uploaded file.

    Raises:
        OSError: the port is taken.
    """
    _, address, _ = blocks.launch(
        server_name=host,
        server_port=port or None,
        max_file_size=int(max_megabytes * 2**20),
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        ssr_mode=False,
        show_error=False,
        enable_monitoring=False,
        run_history=False,
        mcp_server=False,
        footer_links=[],
        theme=gr.themes.Default(**_FONTS),
        css=STYLE,
    )
    return address

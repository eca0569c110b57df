"""The section of unknown objects on the HTML page: there with its pictures, or not at all."""

from dataclasses import replace

import pytest

from negas.reports.html import report as html_report
from negas.reports.html.page import Picture, PictureGroup, render_page
from negas.reports.html.report import make_html_report
from tests.helpers import fake_runs
from tests.reports.test_html_page import page


def test_the_section_stands_where_there_are_groups():
    group = PictureGroup("near: unknown objects found", [Picture("a tent", None, ["x"])], "7 found")
    text = render_page(replace(page(), unknown=[group], unknown_note="the nearest word"))
    for said in ('<a href="#unknown">', '<section id="unknown">', "7 found", "the nearest word"):
        assert said in text
    assert group.title in text
    assert 'id="unknown"' not in render_page(page()) and "#unknown" not in render_page(page())


@pytest.mark.parametrize("groups", [[], [PictureGroup("near: unknown", (), "3 found")]])
def test_the_report_asks_for_them(tmp_path, monkeypatch, groups):
    monkeypatch.setattr(html_report, "svg_uri", lambda draw: "data:image/svg+xml;base64,")
    monkeypatch.setattr(html_report, "unknown_groups", lambda *args: groups)
    run = fake_runs.fake_run(tmp_path / "negas")
    text = make_html_report(run, tmp_path / "page.html").read_text()
    assert ("3 found" in text) == ('<section id="unknown">' in text) == bool(groups)

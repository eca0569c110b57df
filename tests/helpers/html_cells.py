"""What stands in a page of HTML: cells of its tables, its pictures, its text."""

from html.parser import HTMLParser


class Cells(HTMLParser):
    """Rows of all tables as lists of texts, and the ``src`` of all images."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.sources, self.text, self._cell = [], [], "", False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True
        elif tag == "img":
            self.sources.append(dict(attrs)["src"])

    def handle_endtag(self, tag):
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data):
        self.text += data
        if self._cell:
            self.rows[-1][-1] += data.strip()

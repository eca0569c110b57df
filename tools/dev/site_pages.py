"""Pages of the documentation site (a hook of MkDocs): the repository's own, under their own paths.

So README, docs/, results/ and data/ are written once, with links that work on disk, too.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)\s#]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """All Markdown pages that git tracks, and the files that they link to."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    pages = [ROOT / name for name in done.stdout.split()]
    linked = {
        (page.parent / link).resolve()
        for page in pages
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in link
    }
    found = [path for path in {*pages, *linked} if path.is_file() and path.is_relative_to(ROOT)]
    theme = [file for file in files if file.src_dir != config.docs_dir]
    return Files(
        theme
        + [
            File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))
            for path in sorted(found)
        ]
    )

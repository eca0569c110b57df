"""One self-contained HTML page per evaluation: no script, no network, opens from disk."""

"""See that there is a Chromium for the tests of the HTML report. Called by ``make test``.

Uses the standard library only. As root on Debian a missing one is installed with apt-get; anyone
else is told the command. NEGAS_CHROMIUM names another browser of the Chromium family.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")
INSTALL = "apt-get update && apt-get install -y --no-install-recommends chromium"


def find_chromium() -> str | None:
    """A browser that starts: NEGAS_CHROMIUM, or the first of the usual names on the PATH."""
    for name in (os.environ.get("NEGAS_CHROMIUM"), *NAMES):
        path = shutil.which(name) if name else None
        if path and _starts(path):
            return path
    return None


def _starts(path: str) -> bool:
    """Whether it can name its version; Ubuntu's package without snap, for one, cannot."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def install() -> bool:
    """Install Debian's package; whether that worked."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    print(f"setup: no Chromium found; {INSTALL}", flush=True)
    done = subprocess.run(
        INSTALL, shell=True, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        print(f"setup: apt-get failed: {lines[-1] if lines else 'no message'}", file=sys.stderr)
    return done.returncode == 0


def main() -> int:
    """Command line; returns the exit code."""
    if find_chromium():
        return 0
    if os.geteuid() == 0 and shutil.which("apt-get") and install() and find_chromium():
        return 0
    print(
        "setup: the tests need a Chromium that starts; install Debian's with "
        f"`{INSTALL}` (as root), or name one with NEGAS_CHROMIUM=PATH",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())

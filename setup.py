"""What pyproject.toml cannot say: files from beside the package go into the sdist and the wheel.

Metadata live in pyproject.toml.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
STARTUP = "negas-startup.pth"  # read when Python starts, see negas/compat/startup.py
STARTUP_HERE = f"negas/compat/{STARTUP}"
# What negas/shipped.py finds; the data folder of a clone also holds the user's own.
SHIPPED = (
    "configs/**/*",
    "tools/*",
    "data/labels/**/*",
    "data/wordnet/*",
    "data/emoji_world/*",
    "data/emoji_world/tiny_*/*",
    "data/*.csv",
    "data/README.md",
)
LEFT_OUT = ("__pycache__", "render_results.py")  # the second reads results/, of a clone


def beside(patterns: tuple[str, ...], left_out: tuple[str, ...]) -> list[str]:
    """Files of the clone."""
    found = {path.relative_to(ROOT) for pattern in patterns for path in ROOT.glob(pattern)}
    kept = [path for path in found if not set(path.parts) & set(left_out)]
    return sorted(path.as_posix() for path in kept if (ROOT / path).is_file())


class WithFilesBeside(build_py):
    """The modules, and the files above; an editable wheel finds them in the clone."""

    def _files(self) -> dict[str, Path]:
        # An editable wheel is filled at the place that pip would install the modules to.
        if self.editable_mode:
            place = Path(self.get_finalized_command("install").install_purelib)
            return {STARTUP_HERE: place / STARTUP}
        place = Path(self.build_lib)
        files = {name: place / "negas/.mim" / name for name in beside(SHIPPED, LEFT_OUT)}
        return {STARTUP_HERE: place / STARTUP, **files}

    def run(self):
        super().run()
        for name, target in self._files().items():
            target.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(str(ROOT / name), str(target), preserve_mode=0)

    def get_source_files(self):
        """Of the sdist; the commands' own makers belong to it, too."""
        more = beside((*SHIPPED, "tools/**/*"), LEFT_OUT[:1])
        return [*super().get_source_files(), STARTUP_HERE, *more]

    def get_outputs(self, include_bytecode=1):
        own = [] if self.editable_mode else map(str, self._files().values())
        return [*super().get_outputs(include_bytecode), *own]


setup(cmdclass=dict(build_py=WithFilesBeside))

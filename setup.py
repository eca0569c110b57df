"""What pyproject.toml cannot say: a file beside the package, read when Python starts.

Metadata live in pyproject.toml.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

STARTUP = "negas-startup.pth"  # see negas/compat/startup.py


class WithStartup(build_py):
    """The modules, and the file above them in site-packages."""

    def _target(self):
        # An editable wheel is filled at the place that pip would install the modules to.
        if self.editable_mode:
            return Path(self.get_finalized_command("install").install_purelib) / STARTUP
        return Path(self.build_lib) / STARTUP

    def run(self):
        super().run()
        target = self._target()
        target.parent.mkdir(parents=True, exist_ok=True)
        self.copy_file(str(Path(__file__).parent / STARTUP), str(target), preserve_mode=0)

    def get_outputs(self, include_bytecode=1):
        own = [] if self.editable_mode else [str(self._target())]
        return super().get_outputs(include_bytecode) + own


setup(cmdclass=dict(build_py=WithStartup))

"""Hooks of the import system that let mmdet and mmyolo import on today's machines, in any order.

``negas-startup.pth`` puts them in place when Python starts, so that MMDetection's own commands work
where negas is installed; :func:`negas.compat.install` does so, too. Until a package of theirs is
imported they cost a comparison of names per module, so nothing is imported here.
"""

import sys

EXTENSION = "mmcv._ext"
GATED = ("mmdet", "mmyolo")  # assert in their first lines that mmcv is older than 2.2 and than 2.1
_PASSES = "2.0.1"  # their asserts


class Extension:
    """Finds negas' stand-in for mmcv's compiled extension where there is no such file.

    Last of the finders: a compiled one is found before.
    """

    @staticmethod
    def find_spec(name, path=None, target=None):
        """As :class:`importlib.abc.MetaPathFinder`."""
        if name != EXTENSION:
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(name, Extension, origin="negas.compat.mmcv_ext")

    @staticmethod
    def create_module(spec):
        """The stand-in; a missing torch is told by mmcv itself before."""
        from importlib import import_module

        return import_module("negas.compat.mmcv_ext").StandIn()

    @staticmethod
    def exec_module(module):
        """Nothing is left to do."""
        # Without a loader mmcv's own check_ops_exist() says truthfully that there are no ops.
        module.__spec__.loader = module.__loader__ = None


class Gates:
    """Finds mmdet and mmyolo as the others do, and has them see another version of mmcv.

    Only while their first file runs, which holds the assert, and only for mmcv 2.
    """

    @staticmethod
    def find_spec(name, path=None, target=None):
        """As :class:`importlib.abc.MetaPathFinder`."""
        if name not in GATED:
            return None
        for finder in sys.meta_path:
            if finder is not Gates and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    if spec.loader is not None:
                        spec.loader = _Gated(spec.loader)
                    return spec
        return None


class _Gated:
    """A loader that runs the file of a gated package, and is gone after that."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        import mmcv

        version = mmcv.__version__
        lifted = version.split(".")[0] == "2" and not version.startswith("2.0")
        try:
            if lifted:
                mmcv.__version__ = _PASSES
            self._loader.exec_module(module)
        finally:
            mmcv.__version__ = version


def install():
    """Put the hooks in place, once."""
    if Gates not in sys.meta_path:
        sys.meta_path.insert(0, Gates)
    if Extension not in sys.meta_path:
        sys.meta_path.append(Extension)

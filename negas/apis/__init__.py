"""What commands and users' scripts call.

``from negas.apis import Inferencer`` is the door to verdicts for your own images. It is loaded at
first use: commands import their parts from here before the heavy packages.
"""

__all__ = ["Inferencer"]


def __getattr__(name: str) -> object:
    if name == "Inferencer":
        from .inferencer import Inferencer

        return Inferencer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Which extra of ``pyproject.toml`` brings a package along that scores and metrics do without."""

from __future__ import annotations

from importlib.util import find_spec

_REPORT = (
    "argcomplete jinja2 jsonschema markupsafe matplotlib PIL rich safetensors tqdm yaml".split()
)
# By the name that it is imported under. Extras hold others: the first one with the package.
EXTRA_OF = (
    dict.fromkeys(_REPORT, "report")
    | dict.fromkeys(("huggingface_hub", "tokenizers", "transformers"), "labels")
    | dict(cv2="image", openai="llm", num2words="mllm")
    | dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), "export")
    | dict(gradio="app")
    | dict.fromkeys(("ijson", "mmcv", "mmdet", "mmengine", "mmyolo"), "lite")
)


def how_to_install(extra: str) -> str:
    """The command that installs an extra; quoted for any shell."""
    return f'pip install "negas[{extra}]"'


def missing_extra(error: BaseException) -> str | None:
    """One sentence for an import that failed because an extra is not installed.

    Args:
        error: what the import raised.

    Returns:
        ``None``: it failed for another reason.
    """
    name = (getattr(error, "name", None) or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or name not in EXTRA_OF or find_spec(name):
        return None
    extra = EXTRA_OF[name]
    return (
        f"this needs {name}, which is not installed; it comes with the extra {extra!r}: "
        f"{how_to_install(extra)}"
    )

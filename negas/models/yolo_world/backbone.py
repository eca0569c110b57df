"""Image and text backbones of YOLO-World under the released checkpoints' names.

``backbone.image_model.*`` is YOLOv8's CSPDarknet, ``backbone.text_model.model.*`` CLIP's text
transformer with projection as transformers names it.
"""

from __future__ import annotations

from pathlib import Path

from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from negas.embeddings.hub import how_to_get, without_waiting


@MODELS.register_module()
class CLIPTextBackbone(BaseModule):
    """CLIP text transformer (``transformers.CLIPTextModelWithProjection``).

    Args:
        model_name: hub name or local directory in transformers' format (config, tokenizer,
            safetensors).
        pretrained: load the directory's weights; ``False`` builds the architecture only, for a
            checkpoint that brings the text weights along.
    """

    def __init__(self, model_name: str, pretrained: bool = True) -> None:
        super().__init__()
        from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

        self.model_name = str(model_name)
        self.pretrained = pretrained
        without_waiting(self.model_name)
        try:
            self.tokenizer = CLIPTokenizer.from_pretrained(self.model_name)
            if pretrained:
                model = _load_text_tower(CLIPTextModelWithProjection, self.model_name)
            else:
                config = CLIPTextConfig.from_pretrained(self.model_name)
                model = CLIPTextModelWithProjection(config)
        except (OSError, ValueError) as error:
            kind = "directory" if Path(self.model_name).exists() else "hub name or directory"
            reason = str(error).strip().splitlines()[0]
            raise ValueError(
                f"model.backbone.text_model.model_name={self.model_name!r}: cannot load a CLIP "
                f"text encoder from this {kind} ({reason}); {how_to_get(self.model_name)}"
            ) from error
        self.model: nn.Module = model.float()

    @property
    def embed_dims(self) -> int:
        """D, channels of the projected text embedding."""
        return self.model.config.projection_dim

    @property
    def context_length(self) -> int:
        """Longest token sequence, begin and end tokens included."""
        return self.model.config.max_position_embeddings


def _load_text_tower(model_class: type, name: str) -> nn.Module:
    """Pretrained weights, without the table of the vision tower's that are left over."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        model, report = model_class.from_pretrained(name, output_loading_info=True)
    finally:
        logging.set_verbosity(level)
    missing = sorted(key for key in report["missing_keys"] if not key.endswith("position_ids"))
    if missing:
        raise ValueError(f"no weights for {missing[0]} and {len(missing) - 1} more")
    return model


@MODELS.register_module()
class MultiModalYOLOBackbone(BaseModule):
    """Image backbone and, unless the texts are given as embeddings, a text backbone."""

    def __init__(
        self, image_model: dict, text_model: dict | None = None, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.image_model = MODELS.build(image_model)
        self.text_model = MODELS.build(text_model) if text_model is not None else None

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Image features, [B, C_l, h_l, w_l] per level, of normalised images [B, 3, h, w]."""
        return self.image_model(images)

    def init_weights(self) -> None:
        """Initialise the image side; the text side keeps what it was loaded with."""
        self.image_model.init_weights()
        self._is_init = True

"""Image and text backbones of YOLO-World under the released checkpoints' names.

``backbone.image_model.*`` is YOLOv8's CSPDarknet, ``backbone.text_model.model.*`` CLIP's text
transformer with projection as transformers names it.
"""

from __future__ import annotations

from pathlib import Path

from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from negas.embeddings.hub import how_to_get, load_whole, loading, without_waiting
from negas.shipped import find


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

        self.model_name = find(model_name)
        self.pretrained = pretrained
        without_waiting(self.model_name)
        kind = "directory" if Path(self.model_name).exists() else "hub name or directory"
        what = (
            f"model.backbone.text_model.model_name={self.model_name!r}: cannot load a CLIP text "
            f"encoder from this {kind}"
        )
        with loading(what, how_to_get(self.model_name)):
            self.tokenizer = CLIPTokenizer.from_pretrained(self.model_name)
            if pretrained:
                model = load_whole(CLIPTextModelWithProjection, self.model_name)
            else:
                config = CLIPTextConfig.from_pretrained(self.model_name)
                model = CLIPTextModelWithProjection(config)
        self.model: nn.Module = model.float()

    @property
    def embed_dims(self) -> int:
        """D, channels of the projected text embedding."""
        return self.model.config.projection_dim

    @property
    def context_length(self) -> int:
        """Longest token sequence, begin and end tokens included."""
        return self.model.config.max_position_embeddings


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

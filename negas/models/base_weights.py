"""Weights of a detector: a frozen base below, what was trained on top, nothing lost silently."""

from __future__ import annotations

from .checkpoint import check_state_dict, is_partial, load_base_weights


class BaseWeights:
    """What all our detectors share about loading weights; put it before the MMDetection class.

    Attributes:
        base_checkpoint: full weights (``.pth`` or ``.safetensors``) loaded when a run starts, and
            under a checkpoint that holds only trained parameters.
        base_sha256: of that file, once it is loaded.
    """

    base_checkpoint: str | None = None
    base_sha256: str | None = None

    def init_weights(self) -> None:
        """Initialise layers, then load ``base_checkpoint`` if there is one."""
        super().init_weights()
        self.base_sha256 = None  # what was loaded before is gone
        self.load_base()

    def load_base(self) -> None:
        """Load ``base_checkpoint`` once.

        Raises:
            RuntimeError: if its names or shapes are not this model's.
        """
        if self.base_checkpoint and self.base_sha256 is None:
            self.base_sha256 = load_base_weights(self, self.base_checkpoint)

    def forget_texts(self) -> None:
        """Called after weights were loaded: cached embeddings may be of other text weights."""

    def optional_keys(self) -> tuple[str, ...]:
        """Prefixes of parameters that a checkpoint may lack as a whole."""
        return ()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        # MMEngine loads with strict=False and merely logs what is missing: a detector with half
        # its weights random would run and report AP 0. Check here, where every loader passes.
        if not prefix:
            if is_partial(state_dict) and not self.base_checkpoint:
                raise RuntimeError(
                    "the checkpoint holds only trained parameters and the config has no "
                    "model.base_checkpoint to put them on; set it to the weights it was trained on"
                )
            if is_partial(state_dict):
                self.load_base()
            check_state_dict(self, state_dict, self.optional_keys())
            self.forget_texts()
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

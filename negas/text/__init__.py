"""Text side of open-vocabulary detectors: prompts, noise, encoding, caching (torch, no mm*)."""

from negas.text.cache import TextFeatureCache, fingerprint
from negas.text.clip_text import encode_labels, encode_tokens
from negas.text.noise import gaussian_noise
from negas.text.prompt import PromptLearner
from negas.text.tokenize import TokenBatch, tokenize_labels

__all__ = [
    "PromptLearner",
    "TextFeatureCache",
    "TokenBatch",
    "encode_labels",
    "encode_tokens",
    "fingerprint",
    "gaussian_noise",
    "tokenize_labels",
]

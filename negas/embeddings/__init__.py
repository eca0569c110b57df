"""Text side of open-vocabulary detectors: prompts, noise, encoding, caching (torch, no mm*)."""

from .cache import TextFeatureCache, fingerprint
from .noise import gaussian_noise
from .prompt import PromptLearner
from .text import TokenBatch, encode_labels, encode_tokens, tokenize_labels

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

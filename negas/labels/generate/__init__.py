"""Candidates from language models: one interface, two kinds of models, five prompts."""

from negas.labels.generate.chat import ChatError, ChatModel
from negas.labels.generate.local_chat import LocalChat
from negas.labels.generate.openai_chat import OpenAIChat
from negas.labels.generate.parse import parse_names
from negas.labels.generate.prompts import CONTEXTS, PROMPTS, PromptStyle, get_prompt
from negas.labels.generate.turns import Turn, TurnPlan, generate_candidates

__all__ = [
    "CONTEXTS",
    "PROMPTS",
    "ChatError",
    "ChatModel",
    "LocalChat",
    "OpenAIChat",
    "PromptStyle",
    "Turn",
    "TurnPlan",
    "generate_candidates",
    "get_prompt",
    "parse_names",
]

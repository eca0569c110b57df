"""Candidates from language models: one interface, two kinds of models, five prompts."""

from .chat import ChatError, ChatModel, LazyChat
from .local_chat import LocalChat
from .openai_chat import OpenAIChat, read_key
from .parse import parse_names
from .prompts import CONTEXTS, PROMPTS, PromptStyle, get_prompt
from .turns import Turn, TurnPlan, generate_candidates

__all__ = [
    "CONTEXTS",
    "PROMPTS",
    "ChatError",
    "ChatModel",
    "LazyChat",
    "LocalChat",
    "OpenAIChat",
    "PromptStyle",
    "Turn",
    "TurnPlan",
    "generate_candidates",
    "get_prompt",
    "parse_names",
    "read_key",
]

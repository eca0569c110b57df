"""From a model's answer, which is untrusted text, to names: JSON first, then lists."""

from __future__ import annotations

import json
import re

MAX_ANSWER = 50_000  # characters that are looked at; no more of an answer need be kept
_MAX_NAMES = 1_000  # of one answer
_MAX_LINE = 300  # characters of a list item: the patterns below are slow on long blanks
_FENCE = re.compile(r"```[\w-]*\s*\n(.*?)(?:```|\Z)", re.DOTALL)
_ITEM = re.compile(r"^\s*(?:[-*+•‣–]|\(?\d{1,4}[.):])\s+(.+?)\s*$")
_NAME_KEYS = ("name", "label", "category", "class", "noun", "object", "item")
_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"(\s*:)?')
_NAMED = re.compile(rf'"(?:{"|".join(_NAME_KEYS)})"\s*:\s*"((?:[^"\\\n]|\\.)*)"')
# An explanation after a name: "mannequin: a doll", "mannequin - a doll", "mannequin (a doll)".
_EXPLANATION = re.compile(r"\s*(?::\s|\s[-–—]\s|\s\().*$", re.DOTALL)
_THINKING = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)


def strip_thinking(answer: str) -> str:
    """An answer without its ``<think>...</think>`` block, closed, unclosed or without a start.

    A block that never closes was cut off while thinking, so nothing after it is an answer.
    """
    kept: list[str] = []
    end, inside = 0, False
    for tag in _THINKING.finditer(answer):
        if tag[1]:  # without a start, everything so far was thinking
            kept = kept if inside else []
        elif not inside:
            kept.append(answer[end : tag.start()])
        inside, end = not tag[1], tag.end()
    return "".join(kept if inside else [*kept, answer[end:]]).strip()


def parse_names(answer: str) -> list[str]:
    """Raw names in an answer, in their order; empty if it holds no list.

    Understood, in this order: JSON (also fenced, also with words around it, also cut off in the
    middle): a list of texts, of objects with a name, or an object whose values are such lists;
    bulleted or numbered lines; one line of five or more short parts with commas between them.
    Prose gives nothing. Names are raw: :class:`~negas.labels.candidates.Candidates` cleans them.
    """
    text = strip_thinking(answer[:MAX_ANSWER])
    for source in [*_FENCE.findall(text), text]:
        names = _from_json(source)
        if names:
            return names[:_MAX_NAMES]
    lines = [line[:_MAX_LINE] for line in text.splitlines()]
    items = [match[1] for match in map(_ITEM.match, lines) if match]
    if items:
        return [name for item in items for name in _item_names(item)][:_MAX_NAMES]
    return _from_commas(text.splitlines())[:_MAX_NAMES]


def _from_json(text: str) -> list[str]:
    text = text.lstrip()
    for start in _brackets(text):
        try:
            data, _ = json.JSONDecoder().raw_decode(text, start)
        except RecursionError:
            return []
        except ValueError:
            if start == 0:
                return _complete_strings(text)
            continue
        names = _flatten(data)
        if names:
            return names
    return []


def _complete_strings(text: str) -> list[str]:
    """What was complete in a JSON text that was cut off: values of name keys, or all values."""
    raw = _NAMED.findall(text) or [s for s, colon in _STRING.findall(text) if not colon]
    return [_unescape(string) for string in raw]


def _brackets(text: str) -> list[int]:
    """Where JSON may start: a few places only, each try reads to the end."""
    return [match.start() for match in re.finditer(r"[\[{]", text)][:20]


def _flatten(data: object, depth: int = 0) -> list[str]:
    if depth > 3:
        return []
    if isinstance(data, list):
        return [
            name
            for entry in data
            for name in ([entry] if isinstance(entry, str) else _flatten(entry, depth + 1))
        ]
    if isinstance(data, dict):
        for key in _NAME_KEYS:
            if isinstance(data.get(key), str):
                return [data[key]]
        return [name for value in data.values() if isinstance(value, list | dict)
                for name in _flatten(value, depth + 1)]  # fmt: skip
    return []


def _unescape(raw: str) -> str:
    try:
        return json.loads(f'"{raw}"')
    except ValueError:
        return raw


def _item_names(line: str) -> list[str]:
    """The names of one list item: one, or several after a heading ("cat: fox, lynx, bobcat")."""
    heading, colon, rest = line.partition(":")
    parts = [part.strip() for part in rest.split(",")]
    if colon and len(parts) > 1 and all(0 < len(part.split()) <= 4 for part in parts):
        return parts
    return [_EXPLANATION.sub("", line)]


def _from_commas(lines: list[str]) -> list[str]:
    best: list[str] = []
    for line in lines:
        parts = [part.strip() for part in line.split(",")]
        parts[-1] = re.sub(r"^(?:and|or)\s+", "", parts[-1])
        parts[0] = parts[0].rpartition(":")[2].strip()
        short = [part for part in parts if 0 < len(part.split()) <= 4]
        if len(parts) >= 5 and len(short) == len(parts) and len(parts) > len(best):
            best = parts
    return best

"""Options of a command, said once: a dataclass from which all else follows.

A command's options are a frozen dataclass that inherits :class:`Options`; each field is an
:func:`option`. From it follow the command line (:meth:`Options.add_to`), its defaults and help, the
checks (types, choices, ranges, finite numbers), reading a settings file or a section of a config
(:meth:`Options.from_settings`) and what the result file records (:meth:`Options.record`).

>>> @dataclass(frozen=True)
... class Fit(Options):
...     checkpoint: str = option(help="weights", positional=True)
...     tpr: float = option(0.95, help="share of ID boxes to be known", gt=0, lt=1)
...     scores: tuple[str, ...] = option((), help="names of scores")
>>> Fit.parse(["a.pth", "--tpr", "0.9"])
Fit(checkpoint='a.pth', tpr=0.9, scores=())
>>> Fit("a.pth", tpr=2.0)
Traceback (most recent call last):
ValueError: tpr must lie in (0, 1), got 2.0
"""

from __future__ import annotations

import math
import os
import re
import types
from argparse import (
    SUPPRESS,
    ArgumentParser,
    ArgumentTypeError,
    BooleanOptionalAction,
    Namespace,
    RawDescriptionHelpFormatter,
)
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import MISSING, Field, dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from negas.command_line import CommandLine
from negas.files import INT64, protect, refuse_input, refuse_nameless
from negas.text import shown

if TYPE_CHECKING:
    from typing import Self

_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    tuple: "a list",
    list: "a list",
    Mapping: "an object",
    Path: "a path",
}
_LIMITS = ("ge", "gt", "le", "lt")
_as_flags: ContextVar[bool] = ContextVar("as_flags", default=False)
_at: ContextVar[str] = ContextVar("at", default="")  # in front of names: "test_evaluator."


def option(
    default: Any = MISSING,
    *,
    help: str,
    factory: Callable[[], Any] | None = None,
    choices: Collection[Any] | None = None,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    flag: str | None = None,
    metavar: str | None = None,
    alone: str | None = None,
    group: str | None = None,
    positional: bool = False,
    cli: bool = True,
    secret: bool = False,
    output: bool = False,
) -> Any:
    """A field of :class:`Options`.

    Args:
        default: its value where none is given; without one the option is required.
        help: half a sentence for ``--help``; the default is added.
        factory: makes the default, where it is mutable.
        choices: the values it may have (each entry, of a list).
        ge: least value; ``gt`` the same, excluded; ``le`` and ``lt`` the greatest.
        gt: see ``ge``.
        le: see ``ge``.
        lt: see ``ge``.
        flag: on the command line, where it is not ``--the-name``.
        metavar: placeholder in the help.
        alone: its value where the flag stands alone; any other then stands behind ``=``.
        group: heading under which the help lists it.
        positional: whether it stands without a flag.
        cli: ``False`` keeps it off the command line.
        secret: never recorded.
        output: whether it names a file or folder that the command writes. Files that other options
            name are the command's inputs, onto which nothing is written.
    """
    about = dict(
        help=help, choices=choices, ge=ge, gt=gt, le=le, lt=lt, flag=flag, metavar=metavar,
        alone=alone, group=group, positional=positional, cli=cli, secret=secret, output=output,
    )  # fmt: skip
    if factory is not None:
        return field(default_factory=factory, metadata=about)
    return field(default=default, metadata=about)


def overwrite_option() -> Any:
    """``--overwrite`` of commands that look at an output by :func:`negas.files.check_file`."""
    help = "replace a file that is no earlier result of this command"
    return option(False, help=help, secret=True)


def csv_option() -> Any:
    """``--csv`` of commands that print tables; the file is of :mod:`negas.reports.long_rows`."""
    help = "write every number there, a row each"
    return option(None, help=help, metavar="FILE", output=True, secret=True)


def brief_option() -> Any:
    """``--brief`` of commands that print tables, see :func:`negas.reports.table.print_tables`."""
    return option(False, help="print the headline only", secret=True)


@dataclass(frozen=True)
class Options:
    """What options of all commands can do; see the module."""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ValueError: the first that is of another type, no choice, out of range or not finite.
        """
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, list):
                value = tuple(value)
                object.__setattr__(self, each.name, value)
            if each.metadata:
                limits = {key: each.metadata[key] for key in _LIMITS}
                hint = _hints(type(self))[each.name]
                check_value(self._name(each), value, hint, each.metadata["choices"], **limits)

    @staticmethod
    def _name(each: Field) -> str:
        positional = each.metadata["positional"] or not each.metadata["cli"]
        return flag_of(each) if _as_flags.get() and not positional else _at.get() + each.name

    def called(self, name: str) -> str:
        """How an error calls a field: its flag, or its full key."""
        return self._name(next(each for each in fields(self) if each.name == name))

    @classmethod
    def add_to(cls, parser: ArgumentParser, only_given: bool = False) -> None:
        """Add every option to a command line.

        Args:
            parser: of the command; a :class:`CommandLine` where an option has ``alone``.
            only_given: leave what the user did not write out of the namespace (for settings that
                the command line overrides).
        """
        # parts of one command line share headings; argparse has no public way to find one again
        groups = {None: parser, **{group.title: group for group in parser._action_groups}}
        for each in fields(cls):
            about = each.metadata
            if not about or not about["cli"]:
                continue
            if about["group"] not in groups:
                groups[about["group"]] = parser.add_argument_group(about["group"])
            names, how = _argument(cls, each, only_given)
            if about["alone"] is None:
                groups[about["group"]].add_argument(*names, **how)
            else:
                parser.add_optional_value(*names, about["alone"], groups[about["group"]], **how)

    @classmethod
    def from_args(cls, args: Namespace, **more: Any) -> Self:
        """Options from a parsed command line; errors name flags.

        Args:
            args: of a parser that :meth:`add_to` filled.
            more: further fields, or in place of what was parsed.

        Raises:
            ValueError: see the class.
        """
        found = {f.name: getattr(args, f.name) for f in fields(cls) if hasattr(args, f.name)}
        token = _as_flags.set(True)
        try:
            options = cls(**found | more)
            options.check_outputs()
            return options
        finally:
            _as_flags.reset(token)

    def check_outputs(self) -> None:
        """Protect the files that options name, see :func:`negas.files.protect`.

        Raises:
            FileExistsError: an output is one of them.
            ValueError: an output has no name, or what is ``None`` by default is an empty text.
        """
        outputs, inputs = [], []
        for each in fields(self):
            value = getattr(self, each.name)
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, Options):
                    one.check_outputs()
                elif isinstance(one, str | Path) and each.metadata.get("output"):
                    outputs.append((each, one))
                elif isinstance(one, str | Path):
                    if one is value and each.default is None and not os.fspath(one).strip():
                        name = each.name if each.metadata["positional"] else flag_of(each)
                        raise ValueError(f"{name} is empty; give a value, or leave it out")
                    inputs += _paths_in(one)
        protect(*inputs)
        for each, one in outputs:
            name = each.name if each.metadata["positional"] else flag_of(each)
            refuse_nameless(one, name)
            refuse_input(one, name, inputs)

    @classmethod
    def parse(cls, argv: Sequence[str] | None = None, description: str | None = None) -> Self:
        """Options from ``argv`` (by default the command line's)."""
        parser = CommandLine(
            description=description or (cls.__doc__ or "").split("\n")[0],
            formatter_class=RawDescriptionHelpFormatter,
        )
        cls.add_to(parser)
        return cls.from_args(parser.parse_args(argv))

    @classmethod
    def from_settings(
        cls, settings: Any, where: str, more: Collection[str] | None = (), section: bool = False
    ) -> Self:
        """Options from a settings file's content, or from a section of a config.

        Args:
            settings: a mapping of fields.
            where: what the file is, for errors: ``the preset 'voc.json'``.
            more: further keys that may be there and are not looked at; ``None``: any that is not
                within a letter or two of a field.
            section: whether ``where`` is a dotted key, and errors name all keys in full.

        Raises:
            ValueError: an unknown key (the nearest known one is named), one that is missing, or a
                value that cannot be.
        """
        if not isinstance(settings, Mapping):
            raise ValueError(f"{where} must be an object, got {shown(settings)}")
        names = [each.name for each in fields(cls)]
        if more is None:
            refuse_misspelt(settings, names, where)
        else:
            refuse_unknown(settings, [*names, *more], where)
        for each in fields(cls):
            required = each.default is MISSING and each.default_factory is MISSING
            if required and each.name not in settings:
                raise ValueError(f"{where} lacks the key {each.name!r}")
        token = _at.set(f"{where}." if section else "")
        try:
            return cls(**{name: settings[name] for name in names if name in settings})
        except ValueError as error:
            raise error if section else ValueError(f"{where}: {error}") from error
        finally:
            _at.reset(token)

    def record(self) -> dict[str, Any]:
        """All options as JSON can hold them, without secrets."""
        open_fields = [each for each in fields(self) if not each.metadata.get("secret")]
        return {each.name: _plain(getattr(self, each.name)) for each in open_fields}


def refuse_unknown(given: Collection[str], known: Collection[str], where: str) -> None:
    """Refuse a key that is not known.

    Raises:
        ValueError: naming it and the nearest known one, or all of them.
    """
    for key in given:
        if key not in known:
            near = get_close_matches(str(key), list(known), 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise ValueError(f"{where} has the unknown key {key!r}; {hint}")


def refuse_misspelt(given: Collection[str], known: Collection[str], where: str = "") -> None:
    """Refuse a key that is not known, but nearly.

    ``_train_loader`` and ``train_loader_2`` beside ``train_loader`` are a user's own, and so is
    what is far from all.

    Raises:
        ValueError: naming it and the known one.
    """
    for key in given:
        if key in known or not isinstance(key, str):
            continue
        for near in get_close_matches(key, known, 3, cutoff=0.85):
            own = key.startswith("_") or (key.startswith(near) and not key[len(near) :].isalpha())
            if not own and abs(len(key) - len(near)) <= 2:
                name = f"{where}.{key}" if where else key
                raise ValueError(f"{name}: there is no such key; did you mean {near!r}?")


def flag_of(each: Field) -> str:
    """``--the-name`` of an option."""
    return each.metadata["flag"] or "--" + each.name.replace("_", "-")


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _parts(hint: Any) -> tuple:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


_Kind = tuple[tuple[type, ...], tuple[type, ...] | None, tuple | None]


@cache
def _kind(hint: Any) -> _Kind:
    """(types it may be of, types of a list's entries or None, choices of a Literal or None)."""
    allowed: list[type] = []
    entries, choices = None, None
    for part in _parts(hint):
        origin = get_origin(part)
        if origin in (tuple, list, Sequence):
            allowed += [tuple, list]
            inner = [one for a in get_args(part) if a is not Ellipsis for one in _kind(a)[0]]
            entries = tuple(inner) or None
        elif origin is Literal:
            choices = get_args(part)
            allowed += [type(choice) for choice in choices]
        else:
            allowed.append(origin or part)
    return tuple(allowed), entries, choices


def _is_of(value: Any, allowed: tuple[type, ...]) -> bool:
    if Any in allowed:
        return True
    if isinstance(value, bool):
        return bool in allowed
    return isinstance(value, allowed) or (isinstance(value, int) and float in allowed)


def _words(kinds: Collection[type]) -> str:
    names = [_WORDS.get(k, f"a {k.__name__.lstrip('_')}") for k in kinds if k is not type(None)]
    return " or ".join(dict.fromkeys(names))


def check_value(
    name: str, value: Any, hint: Any, choices: Collection[Any] | None = None, **limits: float | None
) -> None:
    """Refuse a value that is of another type, no choice, out of range or not finite.

    Args:
        name: what it is, for the error.
        value: the value.
        hint: type that it is declared with.
        choices: values it may have (each entry, of a list).
        **limits: ``ge``, ``gt``, ``le`` and ``lt``, see :func:`option`.

    Raises:
        ValueError: naming it, and what is expected.
    """
    allowed, entries, literal = _kind(hint)
    if not _is_of(value, allowed):
        raise ValueError(f"{name} must be {_words(allowed)}, got {shown(value)}")
    if value is None:
        return
    if isinstance(value, Mapping):
        for part in _parts(hint):
            if get_origin(part) is dict and get_args(part)[:1] == (str,):
                for key in value:
                    if not isinstance(key, str):
                        raise ValueError(f"{name}: its keys must be texts, got {shown(key)}")
            held = get_args(part)[1:] if get_origin(part) is dict else ()  # none of a bare Dict
            for key, one in value.items() if held and held[0] is not Any else ():
                check_value(f"{name}.{key}", one, held[0])
    is_list = isinstance(value, tuple | list)
    ones = value if is_list else (value,)
    if is_list and entries:
        for one in ones:
            if not _is_of(one, entries):
                words = f"a list, each entry {_words(entries)}"
                raise ValueError(f"{name} must be {words}, got {shown(one)}")
    choices = choices or literal
    for one in ones:
        if choices is not None and one not in choices:
            near = get_close_matches(str(one), [str(c) for c in choices], 1)
            advice = f"; did you mean {near[0]!r}?" if near else ""
            listed = ", ".join(map(str, choices))
            raise ValueError(f"{name} must be one of {listed}; got {shown(one)}{advice}")
        if isinstance(one, int | float) and not isinstance(one, bool):
            check_number(name, one, **limits)


def check_number(
    name: str,
    value: float,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> None:
    """Refuse a number that is not finite, too large for 64 bits or out of range.

    Raises:
        ValueError: naming it and its range.
    """
    whole = isinstance(value, int)
    if (whole and abs(value) > INT64) or (not whole and not math.isfinite(value)):
        what = "is too large" if whole else "must be finite"
        raise ValueError(f"{name} {what}, got {shown(value, 40)}")
    low, high = ge if gt is None else gt, le if lt is None else lt
    fits = (ge is None or value >= ge) and (gt is None or value > gt)
    if fits and (le is None or value <= le) and (lt is None or value < lt):
        return
    if low is not None and high is not None:
        ends = f"{'[' if gt is None else '('}{low}, {high}{']' if lt is None else ')'}"
        rule = f"must lie in {ends}"
    elif low is not None:
        rule = f"must be at least {low:g}" if gt is None else f"must be greater than {low:g}"
    else:
        rule = f"must be at most {high:g}" if lt is None else f"must be less than {high:g}"
    raise ValueError(f"{name} {rule}, got {value}")


def _argument(cls: type, each: Field, only_given: bool) -> tuple[list[str], dict[str, Any]]:
    """Names and keywords of ``add_argument``."""
    about = each.metadata
    allowed, entries, literal = _kind(_hints(cls)[each.name])
    if str in allowed:
        entries = None  # a text or a list: on the command line it is one text
    default = each.default if each.default_factory is MISSING else each.default_factory()
    required = default is MISSING
    text = about["help"].replace("%", "%%")
    plain = default not in (MISSING, None, "", (), False)
    if plain and "default" not in text and not isinstance(default, dict):
        listed = " ".join(map(str, default)) if isinstance(default, tuple) else default
        text += f" (default: {listed})".replace("%", "%%")
    how: dict[str, Any] = dict(help=text)
    if not required and not about["positional"]:
        how["default"] = SUPPRESS if only_given else default
    if bool in allowed:
        how["action"] = BooleanOptionalAction if default else "store_true"
    else:
        if about["metavar"]:
            how["metavar"] = about["metavar"]
        kinds = entries if entries is not None else allowed
        kinds = [kind for kind in kinds if kind is not type(None)]
        kind = kinds[0] if len(kinds) == 1 else str
        how["type"] = _path if kind is Path else kind
        if about["choices"] is not None or literal:
            how["choices"] = list(about["choices"] or literal)
        if entries is not None:
            how["nargs"] = "+" if required or not about["positional"] else "*"
    if about["positional"]:
        if not required:
            how["default"] = SUPPRESS if only_given else default
            how.setdefault("nargs", "?")
        return [each.name], how
    flag = flag_of(each)
    if flag.removeprefix("--").replace("-", "_") != each.name:
        how["dest"] = each.name
    if required:
        how["required"] = not only_given
        if only_given:
            how["default"] = SUPPRESS
    return [flag], how


def _path(text: str) -> Path:
    """A path of the command line; ``Path`` takes an empty text for the folder one is in."""
    if not text.strip():
        raise ArgumentTypeError("it is empty; name a path, or leave it out")
    return Path(text)


def _paths_in(value: str | Path) -> list[str]:
    """What may be a file in an option's value: ``SET=FILE``, ``FILE@FOLDER``, ``FILE,FILE``."""
    text = os.fspath(value)
    return list(dict.fromkeys([text, *re.split("[=@,]", text), text.partition("=")[2]]))


def _plain(value: Any) -> Any:
    if isinstance(value, Options):
        return value.record()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value

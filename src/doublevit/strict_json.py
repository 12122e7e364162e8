"""Strict decoding of JSON into typed values; errors name missing, unknown or mistyped fields by their path."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec

Value = TypeVar("Value")


def decode(text: bytes | str, kind: type[Value]) -> Value:
    """Decode JSON to a value of type `kind`, a dataclass or `msgspec.Struct`, nested ones included.

    Raises:
        ValueError: the text is no JSON, or does not fit `kind`; the message ends in the path of the error.
    """
    try:
        raw = msgspec.json.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return convert(raw, kind)


def convert(raw: Any, kind: type[Value]) -> Value:
    """Convert dicts, lists, strings and numbers, as a JSON reader returns them, to a value of type `kind`.

    Raises:
        ValueError: as `decode`.
    """
    try:
        value = msgspec.convert(raw, kind, dec_hook=_from_json)
    except msgspec.ValidationError as error:  # in our messages `...` stands for an argument
        raise ValueError(str(error).replace("`", "'")) from error.__cause__
    _require_known(raw, to_builtins(value), "$")
    return value


def to_builtins(value: Any) -> Any:
    """Convert a value to dicts, lists, strings and numbers, as a JSON writer takes them."""
    return msgspec.to_builtins(value, enc_hook=_to_json)


def encode(value: Any) -> bytes:
    """Encode a value as one line of JSON, keys in the order of the fields."""
    return msgspec.json.encode(value, enc_hook=_to_json)


def canonical(value: Any) -> bytes:
    """Encode a value as JSON that is the same for equal values: keys are sorted."""
    return msgspec.json.encode(value, order="sorted", enc_hook=_to_json)


def pretty(value: Any) -> str:
    """Format a value as indented JSON for files that people read."""
    return msgspec.json.format(encode(value), indent=1).decode() + "\n"


def _from_json(kind: type, raw: Any) -> Any:
    """Convert types that msgspec does not know: paths are written as text."""
    if kind is Path and isinstance(raw, str):
        return Path(raw)
    raise ValueError(f"Expected `{kind.__name__}`, got `{type(raw).__name__}`")


def _to_json(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _require_known(raw: Any, known: Any, path: str) -> None:
    """Raise `ValueError` for unknown keys, which msgspec ignores in dataclasses."""
    if isinstance(raw, dict) and isinstance(known, dict):
        for key, inner in raw.items():
            if key not in known:
                raise ValueError(f"unknown field '{key}' - at '{path}'")
            _require_known(inner, known[key], f"{path}.{key}")
    elif isinstance(raw, list) and isinstance(known, list | tuple):
        for number, pair in enumerate(zip(raw, known, strict=False)):
            _require_known(*pair, f"{path}[{number}]")

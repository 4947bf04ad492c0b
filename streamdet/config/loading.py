"""From a file, the environment and the command line to a `Config`, or to every problem at once.

Each value keeps its origin (``file:line``, a variable or a ``--set``), so that a problem found
later, by the models, can name the place to correct. A message names keys and places, never a
value: it may be a secret.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource

from streamdet.config.kafka import SECRET_OPTIONS
from streamdet.config.models import Config
from streamdet.config.section import Place
from streamdet.config.yaml_file import parse_value, read_yaml, write_yaml
from streamdet.errors import ConfigError

_PREFIX = "STREAMDET_"
_NESTED = "__"

_MESSAGES = {  # pydantic's own words, where they are not an operator's
    "missing": "is required",
    "string_type": "must be text; put it in quotes",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "timezone_aware": "needs a zone, as in 2000-01-01T00:00:00Z",
}


def load(file: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Return the configuration: `overrides` (``key.path=value``) over environment over `file`.

    Raises
    ------
    ConfigError
        It cannot be used; the message has a line for every problem, with its place.
    """
    layered = _Layered(file)
    layered.lay_over(_environment(), _variable)
    for override in overrides:
        layered.lay_over(_override(override), lambda place: f"--set {dotted(place)}")
    problems = layered.problems + _unknown_variables() + _open_secrets(layered)
    try:
        config = Config.model_validate(layered.values)
    except ValidationError as error:
        problems += [
            f"{layered.origin(place)}: {dotted(place)}: {message}"
            for details in error.errors(include_url=False)
            for place, message in _complaints(details)
        ]
    if problems:
        raise ConfigError("\n".join(sorted(problems, key=_line)))
    return config


def show(config: Config) -> str:
    """Return `config` as YAML with every option; a secret is a row of stars."""
    return write_yaml(config.model_dump(mode="json", by_alias=True))


def schema() -> str:
    """Return the JSON Schema of the configuration file."""
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(schema_generator=_UntitledSchema),
    }
    return json.dumps(described, indent=2) + "\n"


class _UntitledSchema(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: object) -> bool:
        return False  # a title made from the name says nothing that the name does not


def dotted(place: Place) -> str:
    """Return `place` as it is written in messages: ``rules[0].set.period``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".") or "configuration"


def options(
    model: type[BaseModel] = Config, above: Place = ()
) -> Iterator[tuple[Place, FieldInfo]]:
    """Yield every option there is; what a list's items hold stands under the list's name."""
    for name, field in model.model_fields.items():
        place = (*above, field.alias or name)
        section = _section(field)
        if section is None or get_origin(field.annotation) is tuple:
            yield place, field
        if section is not None:
            yield from options(section, place)


class _Layered:
    """Values of several sources, laid one over the other, and where each came from."""

    def __init__(self, file: Path | None) -> None:
        self.values, lines, self.problems = read_yaml(file) if file else ({}, {}, [])
        self._origins = {place: f"{file}:{line}" for place, line in lines.items()}

    def lay_over(
        self, layer: Mapping[str, Any], origin: Callable[[Place], str], above: Place = ()
    ) -> None:
        """Take `layer` over what is there: mappings merge, anything else is replaced."""
        below = self.values
        for step in above:
            below = below[cast(str, step)]
        for key, value in layer.items():
            place = (*above, key)
            if isinstance(value, Mapping):
                if not isinstance(below.get(key), dict):
                    below[key] = {}
                self.lay_over(value, origin, place)
            else:
                below[key] = value
                size = len(place)
                for old in [old for old in self._origins if old[:size] == place]:
                    del self._origins[old]
                self._origins[place] = origin(place)

    def origin(self, place: Place) -> str:
        """Return where the value at `place` came from, or what is nearest below or above it."""
        size = len(place)
        near = [place, *(at for at in self._origins if at[:size] == place)]
        near += [place[:above] for above in range(size, -1, -1)]
        return next((self._origins[at] for at in near if at in self._origins), "configuration")


class _EnvironmentSource(EnvSettingsSource):
    """pydantic-settings' reading of variables, with YAML where it would want JSON."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: object) -> object:
        try:
            return parse_value(str(value))
        except ValueError:
            return value  # the models then say what it must be


def _environment() -> dict[str, Any]:
    settings = cast(type[BaseSettings], Config)  # the source asks only for fields
    return _EnvironmentSource(settings, env_prefix=_PREFIX, env_nested_delimiter=_NESTED)()


def _variable(place: Place) -> str:
    for size in range(len(place), 0, -1):
        name = _PREFIX + _NESTED.join(str(step) for step in place[:size]).upper()
        if any(name == variable.upper() for variable in os.environ):
            return name
    return "environment"


def _unknown_variables() -> list[str]:
    """Return a problem for each variable of a section that does not exist.

    Names without ``__`` are left alone: Kubernetes sets STREAMDET_PORT and the like in a pod
    beside a service called streamdet.
    """
    problems = []
    for variable in sorted(os.environ):
        section, nested, rest = variable.upper().removeprefix(_PREFIX).partition(_NESTED)
        if variable.upper().startswith(_PREFIX) and nested:
            field = Config.model_fields.get(section.lower())
            if field is None or _section(field) is None:
                near = _nearest(section.lower(), Config.model_fields)
                hint = f"; did you mean {_PREFIX}{near.upper()}{_NESTED}{rest}?" if near else ""
                problems.append(f"{variable}: {section.lower()}: is no section{hint}")
    return problems


def _override(text: str) -> dict[str, Any]:
    """Return ``key.path=value`` as nested mappings. Below an option map the rest is one key."""
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise ConfigError("--set: must be key.path=value, as in --set detection.sensitivity=85")
    keys = path.split(".")
    model: type[BaseModel] | None = Config
    for index, key in enumerate(keys):
        field = _fields(model).get(key) if model else None
        if field is not None and get_origin(field.annotation) is dict:
            keys[index + 1 :] = filter(None, [".".join(keys[index + 1 :])])
            break
        model = _section(field) if field else None
    try:
        layer: Any = parse_value(value)
    except ValueError as error:
        raise ConfigError(f"--set {path}: {error}") from None
    for key in reversed(keys):
        layer = {key: layer}
    return cast(dict[str, Any], layer)


def _open_secrets(layered: _Layered) -> list[str]:
    problems = []
    section = layered.values.get("kafka")
    for field in SECRET_OPTIONS:
        origin = layered.origin(("kafka", field))
        given = isinstance(section, dict) and section.get(field) is not None
        if given and not origin.startswith(_PREFIX):
            problems.append(
                f"{origin}: kafka.{field}: is a secret; set kafka.{field}_file to a file that "
                f"holds it, or the variable {_PREFIX}KAFKA{_NESTED}{field.upper()}"
            )
    section = layered.values.get("serve")
    keys = section.get("keys") if isinstance(section, dict) else None
    for index, key in enumerate(keys if isinstance(keys, list) else ()):
        origin = layered.origin(("serve", "keys", index, "key"))
        if isinstance(key, dict) and key.get("key") and not origin.startswith(_PREFIX):
            problems.append(
                f"{origin}: serve.keys[{index}].key: is a secret; set key_file to a file that "
                f"holds it, or all keys by the variable {_PREFIX}SERVE{_NESTED}KEYS"
            )
    return problems


def _line(problem: str) -> int:
    found = re.match(r".*?:(\d+): ", problem)
    return int(found[1]) if found else 0


def _complaints(details: ErrorDetails) -> Iterator[tuple[Place, str]]:
    place, kind = details["loc"], details["type"]
    if place[-1:] == ("[key]",):  # pydantic's mark for what a mapping's key says wrong
        place = place[:-1]
    if kind == "too_short" and details["input"]:
        return  # not empty: its items are wrong, and have complaints of their own
    if kind == "disagreement":
        yield from ((tuple(at), message) for at, message in details["ctx"]["found"])
    elif kind == "extra_forbidden":
        yield place, f"unknown key{_suggestion(place)}"
    elif details["input"] is None:
        yield place, "is empty; give it a value or remove the line"
    else:
        text = details["msg"].removeprefix("Value error, ")
        yield place, _MESSAGES.get(kind) or text.replace("Input should be", "must be")


def _suggestion(place: Place) -> str:
    key = str(place[-1])
    section: type[BaseModel] | None = Config
    for step in place[:-1]:
        if isinstance(step, str):
            section = _section(_fields(section)[step]) if section else None
    here = _fields(section)
    if near := _nearest(key, here):
        return f"; did you mean {near}?"
    if place[0] == "kafka" and "." in key:
        return "; librdkafka's options go under kafka.options"
    elsewhere = {str(at[-1]): dotted(at) for at, _ in reversed(list(options()))}
    if near := _nearest(key, elsewhere):
        return f"; did you mean {elsewhere[near]}?"
    return f"; known here: {', '.join(here)}"


def _nearest(key: str, known: Mapping[str, object]) -> str | None:
    plain = {name.lower().replace("_", ""): name for name in known}
    near = difflib.get_close_matches(key.lower().replace("_", ""), plain, n=1, cutoff=0.7)
    return plain[near[0]] if near else None


def _fields(model: type[BaseModel] | None) -> dict[str, FieldInfo]:
    """Return the fields of `model` by the names they have in a file."""
    fields = model.model_fields if model else {}
    return {field.alias or name: field for name, field in fields.items()}


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model that `field` holds, itself or in a list; None when it is an option."""
    parts = [field.annotation, *get_args(field.annotation)]
    parts += [inner for part in parts for inner in get_args(part)]
    models = (part for part in parts if isinstance(part, type) and issubclass(part, BaseModel))
    return next(models, None)

"""The documentation of options and commands, held to the code."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import typer.main
import yaml
from pydantic_core import PydanticUndefined

from streamdet.cli import app
from streamdet.config import Config, load, schema, show
from streamdet.config.loading import dotted, options

ROOT = Path(__file__).parent.parent
CONFIGS = [*sorted((ROOT / "config").glob("*.yaml")), ROOT / "deploy" / "streamdet.yaml"]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
CLI = (ROOT / "docs" / "cli.md").read_text()

OPTIONS = {dotted(place): field for place, field in options() if place[:2] != ("rules", "set")}
ROWS = dict(
    re.findall(
        r"^\| `([\w.\[\]]+)` \| [^|]+ \| (?:`([^|]*)`|required) \| .+ \|$", CONFIGURATION, re.M
    )
)


def commands(group=None, above=""):
    """Yield every command by its words, with the options it has."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        words = f"{above}{name}"
        if hasattr(command, "commands"):
            yield from commands(command, f"{words} ")
        else:
            yield words, [option for each in command.params for option in each.opts]


def value(text):
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text  # the glob *


def test_every_option_is_documented_and_no_other():
    assert {name.replace("[]", "") for name in ROWS} == set(OPTIONS)


def test_every_documented_default_is_the_one_in_the_code():
    documented = {name.replace("[]", ""): value(text) for name, text in ROWS.items()}
    plain = yaml.safe_load(show(Config()))
    for name, field in OPTIONS.items():
        if field.default is PydanticUndefined:
            assert documented[name] is None, name
            continue
        found = plain
        for step in name.split("."):
            found = found.get(step, field.default) if isinstance(found, dict) else field.default
        if name == "input.topics":
            found = [topic["name"] for topic in found]
        if name == "limits.earliest":
            found = yaml.safe_load(found)
        found = list(found) if isinstance(found, tuple) else found
        assert documented[name] == found, name


def test_every_refused_librdkafka_option_is_documented():
    from streamdet.config import kafka

    for option in {**kafka._OWN_FIELDS, **kafka._REASONS}:
        assert f"`{option}`" in CONFIGURATION


@pytest.mark.parametrize(("words", "named"), dict(commands()).items())
def test_every_command_is_documented_with_its_options_and_an_example(words, named):
    heading = f"## streamdet {words}\n"
    assert heading in CLI
    section = CLI.split(heading)[1].split("\n## ")[0]
    assert re.search(rf"^(\$ )?(\w+=\S+ )?streamdet {words}\b", section, re.M), "no example"
    for option in named:
        if option.startswith("--"):
            assert f"`{option}" in section, option


def test_options_of_the_program_itself_are_documented():
    for option in ("--debug", "--version", "--install-completion", "--show-completion", "--help"):
        assert f"`{option}" in CLI


@pytest.mark.parametrize("words", dict(commands()))
def test_the_help_of_every_command_has_an_example_that_it_understands(words):
    command = typer.main.get_command(app)
    for word in words.split():
        command = command.commands[word]
    example = re.search(r"Example: (?:\w+=\S+ )?(streamdet [^>\n]+)", command.help)
    assert example, words
    given = example[1].split()
    assert given[: 1 + len(words.split())] == ["streamdet", *words.split()]
    arguments = given[1 + len(words.split()) :]
    command.make_context(words, arguments)  # raises what a wrong option raises


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.name)
def test_every_example_loads_and_keeps_to_the_schema(file):
    load(file)
    text = file.read_text().replace("2000-01-01T00:00:00Z", '"2000-01-01T00:00:00Z"')
    jsonschema.validate(yaml.safe_load(text), json.loads(schema()))


def test_the_commented_example_has_every_option_at_its_default():
    file = ROOT / "config" / "streamdet.yaml"
    text = file.read_text()
    assert load(file).model_copy(update={"rules": ()}) == Config()
    for name in (name.split(".")[-1] for name in OPTIONS):
        assert re.search(rf"\b{name}\b", text) or re.search("_(password|secret)(_file)?$", name)


def test_the_published_schema_is_the_current_one():
    assert (ROOT / "docs" / "config.schema.json").read_text() == schema(), (
        "run: streamdet config schema > docs/config.schema.json"
    )


def test_the_schema_refuses_what_the_models_refuse_of_a_key():
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"kafka": {"bootstrap_server": "x"}}, json.loads(schema()))

"""`--config FILE.yaml --key value …` → dataclasses. Flat YAML, the command line over the file, nothing unknown passes.

Both sources become the same triples (key, value, where), each checked alone by `transformers.HfArgumentParser`, so
that an error can say which line it is in.
"""

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NamedTuple, NoReturn, Union, get_args, get_origin, get_type_hints

import yaml
from transformers import HfArgumentParser, TrainingArguments

from accord.cli.environment_options import EnvironmentOptions
from accord.cli.options import NOT_HERE, DataOptions, ModelOptions, RunOptions
from accord.feedback import AccordError


class Given(NamedTuple):
    """One setting as it was written. `value` is a text, a list of texts, a mapping, or None for null."""

    key: str
    value: Any
    where: str


@dataclass
class Arguments:
    """Everything a training command was told. `given` holds only what the user wrote, converted; `environment` is of
    methods that sample."""

    model: ModelOptions
    data: DataOptions
    run: RunOptions
    config: Any
    given: dict[str, Any]
    environment: Any = None


class _Parser(HfArgumentParser):
    """Raises instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise AccordError(message)


def parse(
    config_class: type[TrainingArguments],
    argv: Sequence[str],
    *,
    environment: type[EnvironmentOptions] | None = None,
    **defaults: Any,
) -> Arguments:
    """Raises AccordError, one line naming the file and line or the option, and the nearest name of an unknown key.

    `defaults` are used where neither the file nor the command line says otherwise.
    """
    groups: list[Any] = [ModelOptions, DataOptions, RunOptions, config_class, *([environment] if environment else [])]
    parser = _Parser(groups, allow_abbrev=False, add_help=False)
    hints = {name: hint for group in groups for name, hint in get_type_hints(group).items()}
    known = {f.name: hints[f.name] for group in groups for f in fields(group) if f.init}

    written = list(command_line(argv))
    files = [path for given in written if given.key == "config" for path in given.value]
    if not files and any(given.key == "config" for given in written):
        raise AccordError("--config: name a YAML file")
    given: dict[str, Any] = {}
    for item in [entry for path in files for entry in config_file(Path(path))]:
        given[item.key] = _convert(parser, known, item)
    for item in written:
        if item.key != "config":
            key, value = _negated(known, item)
            given[key] = _convert(parser, known, Given(key, value, item.where))
    _check_peft(defaults | given)
    try:
        model, data, run, config, *more = parser.parse_dict(defaults | given)
    except (ValueError, TypeError, ImportError) as error:
        raise AccordError(_one_line(error)) from error
    return Arguments(model, data, run, config, given, *more)


def command_line(argv: Sequence[str]) -> Iterator[Given]:
    """`--key v w`, `--key=v` and `--flag`; dashes and underscores in a key are the same."""
    key: str | None = None
    values: list[str] = []
    for token in [*argv, "--"]:
        if not token.startswith("--"):
            if key is None:
                raise AccordError(f"unexpected argument '{token}': options are written --key value")
            values.append(token)
            continue
        if key is not None:
            yield Given(key, values, f"--{key}")
        name, equals, value = token[2:].partition("=")
        key, values = name.replace("-", "_"), [value] if equals else []


def config_file(path: Path) -> Iterator[Given]:
    """The entries of a flat YAML mapping. Scalars stay text, so that `1e-6` is a number and `no` is a word."""
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
    except FileNotFoundError:
        raise AccordError(f"{path}: there is no such config file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise AccordError(f"{path}: cannot be read: {_one_line(error)}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise AccordError(f"{path}:{line}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise AccordError(f"{path}: not valid YAML: {_one_line(error)}") from None
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        raise AccordError(f"{path}:1: a config is a mapping, one `key: value` a line")
    seen: dict[str, int] = {}
    for key_node, node in root.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in seen:
            raise AccordError(f"{path}:{line}: {key}: already given in line {seen[key]}")
        seen[key] = line
        yield Given(key.replace("-", "_"), _plain(loader, node), f"{path}:{line}")


def _plain(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    match node:
        case yaml.ScalarNode(tag="tag:yaml.org,2002:null"):
            return None
        case yaml.ScalarNode():
            return node.value
        case yaml.SequenceNode() if all(isinstance(item, yaml.ScalarNode) for item in node.value):
            return [item.value for item in node.value]
        case _:
            return loader.construct_object(node, deep=True)


def _negated(known: dict[str, Any], item: Given) -> tuple[str, Any]:
    """`--no_bf16` is `--bf16 false`."""
    name = item.key.removeprefix("no_")
    if name != item.key and item.key not in known and bool in _members(known.get(name)) and not item.value:
        return name, ["false"]
    return item.key, item.value


def _members(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a type hint: `int | None` → (int, NoneType)."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _convert(parser: _Parser, known: dict[str, Any], item: Given) -> Any:
    key, value, where = item
    if key not in known:
        raise AccordError(f"{where}: {_unknown(key, list(known))}")
    members = _members(known[key])
    kinds = {get_origin(member) or member for member in members}
    texts = [value] if isinstance(value, str) else value
    if NoneType in kinds and (value is None or (str not in kinds and texts in (["null"], ["none"], ["None"]))):
        return None
    try:
        if value is None:
            raise AccordError("may not be null")
        if isinstance(texts, list) and len(texts) == 1 and texts[0].startswith("{") and dict in kinds:
            value = json.loads(texts[0])
        if isinstance(value, dict) and dict in kinds:
            return value
        if isinstance(value, list) and len(value) > 1 and list in kinds and str in kinds:
            return value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise AccordError("takes a single value, not a nested one")
        return _through(parser, key, texts, many=list in kinds and str not in kinds)
    except (AccordError, json.JSONDecodeError) as error:
        why = f"not valid JSON: {error}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise AccordError(f"{where if where.startswith('--') else f'{where}: {key}'}: {why}") from None


#: argparse's name of a type -> ours
_KINDS = {"int": "a whole number", "float": "a number", "dict": "a mapping"}


def _through(parser: _Parser, key: str, texts: list[str], many: bool) -> Any:
    """What argparse makes of the texts. A single one goes as --key=text, or -1e-3 would look like an option."""
    if len(texts) > 1 and not many:
        raise AccordError(f"takes one value, not {len(texts)}: {' '.join(texts)}")
    tokens = [f"--{key}={texts[0]}"] if len(texts) == 1 else [f"--{key}", *texts]
    try:
        return getattr(parser.parse_args(tokens), key)
    except AccordError as error:
        message = re.sub(r"^argument \S+: ", "", str(error))
        if bad := re.fullmatch(r"invalid (\w+) value: ('.*')", message):
            message = f"{bad[2]} is not {_KINDS.get(bad[1], bad[1])}"
        if message.startswith("Truthy value expected"):
            message = f"'{' '.join(texts)}' is not true or false"
        raise AccordError(message) from None


def _unknown(key: str, known: list[str]) -> str:
    from accord.trainers.trl_settings import instead

    if remedy := NOT_HERE.get(key) or instead(key):
        return f"'{key}' is a key of TRL's that Accord has not: {remedy}"
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"unknown key '{key}': " + (f"did you mean '{near[0]}'?" if near else "--help-all lists all keys")


def _check_peft(given: dict[str, Any]) -> None:
    """A LoRA setting without LoRA would train all weights, and say nothing."""
    lora = [key for key in given if key.startswith("lora_") or key in ("use_rslora", "use_dora")]
    if lora and not given.get("use_peft"):
        raise AccordError(f"{lora[0]}: has no effect without use_peft: true")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

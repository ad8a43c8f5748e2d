"""Checks a composed config before anything is built: unknown keys, types and ranges, by the key's full name.

The constructors are the schema. What a YAML file may choose are the keyword-only arguments of its ``_target_``,
with their annotations (pydantic's ``Field`` gives the ranges); what :mod:`vae_lightning.assemble` supplies itself
are the positional ones. So an option is declared once, where it is used, and a user's own class is checked alike.
"""

import inspect
import pkgutil
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from vae_lightning.assemble import with_content
from vae_lightning.data.node import CONTENT, nested, typed_key
from vae_lightning.errors import Code, UserError
from vae_lightning.runs.identity import MECHANICS
from vae_lightning.runs.run_config import Derived, Node, RunConfig
from vae_lightning.runs.upgrade import TARGET
from vae_lightning.spelling import did_you_mean

PARTS = {"data", "model.encoder", "model.decoder", "likelihood", "prior", "posterior", "objective", "estimator"}
PARTS |= {"beta_schedule", "optimizer", "lr_schedule", "trainer"}
"""Keys whose node names by ``_target_`` what to build."""
UNDECIDED = "???"
"""What OmegaConf has in the place of a value that a YAML file leaves to the user."""
Settings = TypeVar("Settings", bound=BaseModel)


class Fault(NamedTuple):
    """One thing that is wrong with a config."""

    key: str
    code: Code
    line: str

    def as_typed(self, data: Any) -> "Fault":
        """Return the fault of the key by which the value was typed in a section ``data``."""
        key = typed_key(self.key, data)
        return Fault(
            key, self.code, key + self.line.removeprefix(self.key) if self.line.startswith(self.key) else self.line
        )


def _raise_if_any(faults: Sequence[Fault]) -> None:
    """Raise one UserError about all faults, with the code of the first."""
    if faults:
        raise UserError("\n".join(fault.line for fault in faults), faults[0].code, [fault.key for fault in faults])


def checked(values: Node | RunConfig, parts: Collection[str] | None = None) -> RunConfig:
    """Return a resolved config as a typed object, in which 1, 1.0 and 1e0 for a float are one value.

    One that is checked already is returned as it is. With ``parts`` only these top-level keys are looked into, which
    spares importing what the others would build.

    Raises UserError with one line per fault, each with the key's full name and what would be valid.
    """
    if isinstance(values, RunConfig):
        return values
    faults: list[Fault] = []
    as_typed = values.get("data")
    values = _validated(RunConfig, values | ({"data": nested(as_typed)} if as_typed else {}), "", faults)
    if not faults:
        looked_into = values if parts is None else [key for key in values if key in parts]
        values = values | {key: _checked_node(key, values[key], faults) for key in looked_into}
        for key in ("metrics", "callbacks") if parts is None else ():
            for index, node in enumerate(values.get(key, [])):
                _checked_node(f"{key}.{index}", node, faults, must_be_built=True)
    _raise_if_any([fault.as_typed(as_typed) for fault in faults])
    if parts is None:
        values["data"] = with_content(values["data"])
    config = RunConfig.model_validate(values)
    if parts is not None:
        return config
    derived = Derived(**config.identity.derived())
    if config.run not in (None, derived):
        raise UserError(f"run={config.run}: follows from the rest of the config; it is {derived}", about=["run"])
    return config.changed(run=derived)


def _checked_node(path: str, value: Any, faults: list[Fault], must_be_built: bool = False) -> Any:
    """Check a node with a ``_target_`` against the signature of what it names, and the nodes inside it."""
    if not isinstance(value, dict):
        return value
    value = {key: _checked_node(f"{path}.{key}", item, faults) for key, item in value.items()}
    where = f"{path}.{TARGET}"
    if value.get(TARGET, UNDECIDED) == UNDECIDED:
        if must_be_built or path in PARTS or TARGET in value:
            faults.append(Fault(where, Code.MISSING, f"{where}: missing; it names the class or function to build"))
        return value
    not_arguments = {TARGET, MECHANICS, *(["name"] if path in PARTS else []), *([CONTENT] if path == "data" else [])}
    kept = {key: item for key, item in value.items() if key in not_arguments}
    arguments = {key: item for key, item in value.items() if key not in not_arguments}
    nested = {key for key, item in arguments.items() if isinstance(item, dict) and TARGET in item}
    try:
        schema = _schema(pkgutil.resolve_name(value[TARGET]), nested)
    except Exception as error:
        line = f"{where}={value[TARGET]}: not a class or function that can be built ({error})"
        faults.append(Fault(where, Code.CANNOT_BUILD, line))
        return value
    return kept | _validated(schema, arguments, f"{path}.", faults)


def _schema(target: Callable[..., Any], built_elsewhere: set[str]) -> type[BaseModel]:
    """Return a pydantic model of the arguments that a YAML file may give to ``target``."""
    ours = target.__module__.split(".")[0] == __name__.split(".")[0]
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(target).parameters.values():
        supplied_here = ours and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
        if supplied_here or parameter.kind in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
            continue
        type_ = Any if parameter.name in built_elsewhere else hints.get(parameter.name, Any)
        # Other libraries do not share our convention: there, what has no default may be supplied when it is built.
        required = parameter.default is inspect.Parameter.empty and ours
        fields[parameter.name] = (type_, ... if required else None)
    settings = ConfigDict(extra="forbid", strict=ours, arbitrary_types_allowed=True, protected_namespaces=())
    return create_model("Arguments", __config__=settings, **fields)


def settings_of(schema: type[Settings], values: Node, prefix: str) -> Settings:
    """Return the values of a section as its schema has them. Raises UserError with a line for each fault."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        _raise_if_any(_faults_of(error, schema, prefix))
        raise


def _validated(schema: type[BaseModel], values: Node, prefix: str, faults: list[Fault]) -> Node:
    """Return ``values`` as the schema reads them; add what is wrong with them to ``faults``."""
    if undecided := [key for key, value in values.items() if value == UNDECIDED]:
        faults += [Fault(prefix + key, Code.MISSING, f"{prefix}{key}: missing; it must be given") for key in undecided]
        return values
    try:
        return schema.model_validate(values).model_dump(include=set(values))
    except ValidationError as error:
        faults += _faults_of(error, schema, prefix)
        return values


def _faults_of(error: ValidationError, schema: type[BaseModel], prefix: str) -> list[Fault]:
    faults: list[Fault] = []
    for fault in error.errors():
        key = prefix + ".".join(str(part) for part in fault["loc"] if not _UNION_BRANCH.match(str(part)))
        if fault["type"] == "extra_forbidden":
            line = f"{key}: not a known key; {_valid_keys(schema, fault['loc'])}"
            faults.append(Fault(key, Code.UNKNOWN_KEY, line))
        elif fault["type"] == "missing":
            faults.append(Fault(key, Code.MISSING, f"{key}: missing"))
        elif key not in {noted.key for noted in faults}:  # a union says the same of each of its branches
            message = fault["msg"].removeprefix("Value error, ")
            faults.append(Fault(key, Code.INVALID, f"{key}={fault['input']}: {message[0].lower()}{message[1:]}"))
    return faults


_UNION_BRANCH = re.compile(r"(float|int|str|constrained-\w+|function-after.*|literal\[.*|is-instance\[.*)$")
"""What pydantic appends to a key for each type that it tried."""


def _valid_keys(schema: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Name what could have been meant by an unknown key: the nearest spelling first, then every valid one."""
    for part in location[:-1]:
        schema = schema.model_fields[str(part)].annotation  # type: ignore[assignment]
    return did_you_mean(str(location[-1]), schema.model_fields)

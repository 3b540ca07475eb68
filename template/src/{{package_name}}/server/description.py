"""The description of the domains: as text, and as an AsyncAPI 3.0 document."""

# pyright: reportPrivateUsage=false

import inspect
import itertools
import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from ..state.typed._types.annotations import DataclassType
from ..state.typed._types.base import TAG, Encoded, LiteralValue, Scalar, TypeHandler, tagged
from ..state.typed._types.compound import AnyJson, DictOf, SetOf, TupleOf, Union
from .domain import Command, Domain
from .payloads import JSON_TYPES, MessageType, in_words_of_json, member_name
from .samples import Sampler

Json = dict[str, Any]
_Types = dict[tuple[type, str], DataclassType | Encoded]

JSON_SCHEMA = "application/schema+json;version=draft-2020-12"
_FORMATS: Mapping[type, Json] = {
    datetime: {"format": "date-time"},
    date: {"format": "date"},
    time: {"format": "time"},
    timedelta: {"format": "duration"},
    Decimal: {"format": "decimal"},
    UUID: {"format": "uuid"},
    bytes: {"contentEncoding": "base64"},
}
# The section of a Google-style docstring that describes the members.
_MEMBERS = re.compile(r"\n+(?:Attributes|Args):\n(?P<lines>(?: +.*\n?|\n)+)")
_MEMBER = re.compile(r"^(\w+): (.*(?:\n {2,}.*)*)", re.MULTILINE)


def split_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Return a docstring without its section of members, and the text of each member."""
    text = inspect.cleandoc(text)
    found = _MEMBERS.search(text)
    if found is None:
        return text, {}
    lines = _MEMBER.findall(textwrap.dedent(found["lines"]))
    members = {name: " ".join(rest.split()) for name, rest in lines}
    return f"{text[: found.start()]}\n\n{text[found.end() :]}".strip(), members


class Schemas:
    """JSON Schemas of types; each dataclass has one of its own, which the others refer to.

    Attributes:
        named: The schemas of the dataclasses by name.
    """

    def __init__(self) -> None:
        self.named: dict[str, Json] = {}
        self._names: dict[tuple[type, str], str] = {}

    def of(self, handler: TypeHandler) -> Json:
        """Return the schema of a type."""
        match handler:
            case DataclassType():
                return {"$ref": f"#/components/schemas/{self._name(handler)}/schema"}
            case Scalar():
                types = [JSON_TYPES[name] for name in handler.name.split(" | ")]
                return {"type": types[0] if len(types) == 1 else types}
            case LiteralValue():
                return {"enum": [*handler._values]}
            case Encoded():
                return self._encoded(handler._class, handler)
            case AnyJson():
                return {}
            case Union():
                return {"anyOf": [self._member(handler, each) for each in handler.parts]}
            case _:
                return self._container(handler)

    def _container(self, handler: TypeHandler) -> Json:
        match handler:
            case TupleOf():
                return self._tuple(handler.parts, repeated=handler.is_repeated)
            case DictOf():
                item = self.of(handler.item)
                if handler.is_object:
                    return {"type": "object", "additionalProperties": item}
                return {"type": "array", "items": self._tuple([handler.key, handler.item])}
            case SetOf():
                return {"type": "array", "items": self.of(handler.item), "uniqueItems": True}
            case _:  # a list
                return {"type": "array", "items": self.of(handler.parts[0])}

    def _encoded(self, cls: type[object], handler: Encoded) -> Json:
        if issubclass(cls, Enum):
            return {"enum": [handler.to_json(member) for member in cls]}
        return {"type": "string", **_FORMATS.get(cls, {})}

    def _member(self, union: Union, member: TypeHandler) -> Json:
        form = self.of(member)
        if member.name not in union._tagged:
            return form
        properties = tagged(member.name, form) | {TAG: {"const": member.name}}
        return {"type": "object", "properties": properties, "required": [*properties]}

    def _tuple(self, items: Sequence[TypeHandler], *, repeated: bool = False) -> Json:
        if repeated:
            return {"type": "array", "items": self.of(items[0])}
        forms = [self.of(item) for item in items]
        return {"type": "array", "prefixItems": forms, "minItems": len(forms), "items": False}

    def _name(self, handler: DataclassType) -> str:
        key = (handler._class, handler.name)
        if key not in self._names:
            name = base = re.sub(r"\W+", "_", handler.name).strip("_")
            number = 1
            while name in self.named:
                number += 1
                name = f"{base}{number}"
            self._names[key], self.named[name] = name, {}  # it may contain itself
            self.named[name] = self._dataclass(handler)
        return self._names[key]

    def _dataclass(self, handler: DataclassType) -> Json:
        description, members = split_docstring(handler._class.__doc__ or "")
        properties: Json = {}
        for name, each in handler._handlers.items():
            schema = properties[member_name(name)] = self.of(each)
            if name in members:
                schema["description"] = members[name]
            if (default := _default_of(handler, name)) is not MISSING:
                schema["default"] = default
        return {
            "title": handler.name,
            "description": description,
            "type": "object",
            "properties": properties,
            "required": handler.required,
            "additionalProperties": False,
        }


def _default_of(handler: DataclassType, name: str) -> Any:
    """Return the default of a member as JSON, MISSING if it has none."""
    field, each = handler._fields[name], handler._handlers[name]
    factory = field.default_factory
    value = field.default if factory is MISSING else factory()
    return value if value is MISSING else each.to_json(each.drain(value))


_TEXT: Json = {"type": "string"}
_ENVELOPE: Json = {
    "v": {"const": 1, "default": 1},
    "kind": _TEXT,
    "id": _TEXT,
    "correlation_id": {"type": ["string", "null"]},
    "source": _TEXT,
    "target": _TEXT,
    "domain": _TEXT,
    "command": _TEXT,
    "payload": {"type": "object"},
    "timestamp": {"type": "string", "format": "date-time"},
}
_POSITION: Json = {"epoch": {"type": "string", "maxLength": 40}, "seq": {"type": "integer"}}
_ERROR: Json = {
    "type": "object",
    "properties": {"code": _TEXT, "message": _TEXT, "details": {"type": "object"}},
    "required": ["code", "message"],
}
# The members of the four kinds of envelopes, besides the common ones.
_ENVELOPES: Mapping[str, Json] = {
    "command": {
        "id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,32}:[1-9][0-9]{0,15}$"},
        "target": {"const": "server"},
        "group": _TEXT,
    },
    "reply": {**_POSITION, "duplicate": {"type": "boolean"}},
    "event": _POSITION,
    "error": {"error": _ERROR},
}


class _AsyncApi:
    """An AsyncAPI document in the making."""

    def __init__(self) -> None:
        self.schemas = Schemas()
        self.messages: Json = {}
        self.channels: Json = {}
        self.operations: Json = {}
        schema = {"$ref": "#/components/schemas/envelope_error/schema", "required": ["error"]}
        self._set_message("error", "error", "A command was refused.", schema)

    def add(self, domain: Domain[Any], only: str | None) -> None:
        """Add a domain: a channel, and an operation for each command and each event."""
        self.channels[domain.name] = {
            "address": domain.name,
            "description": domain.description,
            "messages": {"error": _ref("components/messages", "error")},
        }
        for command in _public(domain, only):
            asked = self._add_message("command", domain.name, command.name, command.payload)
            replied = self._add_message("reply", domain.name, command.name, command.result)
            self.messages[f"{domain.name}.{command.name}"]["examples"] = [
                {"payload": self._example(command)}
            ]
            operation = self._operate("receive", domain.name, command, asked)
            operation["reply"] = {
                "channel": _ref("channels", domain.name),
                "messages": [replied, _ref(f"channels/{domain.name}/messages", "error")],
            }
        for event in domain.events.values() if only is None else ():
            message = self._add_message("event", domain.name, event.name, event)
            self._operate("send", domain.name, event, message)

    def _add_message(self, kind: str, domain: str, name: str, message: MessageType | None) -> Json:
        """Add an envelope with a payload to the messages of a channel."""
        key = f"{name}.reply" if kind == "reply" else name
        members: Json = {"kind": kind, "domain": domain, "command": name}
        properties: Json = {member: {"const": value} for member, value in members.items()}
        properties["payload"] = self.schemas.of(message.handler) if message else {"type": "object"}
        schema = {
            "allOf": [{"$ref": f"#/components/schemas/envelope_{kind}/schema"}],
            "properties": properties,
            "required": ["id", "source", "target", "domain", "command"],
        }
        text = message.description if message else "It was done."
        self._set_message(f"{domain}.{key}", name, text, schema)
        self.channels[domain]["messages"][key] = _ref("components/messages", f"{domain}.{key}")
        return _ref(f"channels/{domain}/messages", key)

    def _set_message(self, key: str, name: str, text: str, schema: Json) -> None:
        self.messages[key] = {
            "name": name,
            "title": key,
            "description": split_docstring(text)[0],
            "payload": {"schemaFormat": JSON_SCHEMA, "schema": schema},
        }

    def _operate(
        self, action: str, domain: str, declared: Command | MessageType, message: Json
    ) -> Json:
        text = split_docstring(declared.description)[0]
        operation = self.operations[f"{domain}.{declared.name}"] = {
            "action": action,
            "channel": _ref("channels", domain),
            "summary": text.partition("\n")[0],
            "description": text,
            "messages": [message],
        }
        return operation

    def _example(self, command: Command) -> Json:
        number = 1 + sum("examples" in each for each in self.messages.values())
        return {
            "v": 1,
            "kind": "command",
            "id": f"example0:{number}",
            "source": "example",
            "target": "server",
            "domain": command.domain,
            "command": command.name,
            "payload": Sampler().message(command.payload.handler),
        }


def as_asyncapi(
    domains: Iterable[Domain[Any]], title: str, version: str, command: str | None = None
) -> Json:
    """Return the AsyncAPI 3.0 document of some domains.

    Args:
        domains: The domains.
        title: The name of the program.
        version: Its version.
        command: The name of the only command to describe; None for all, and the events.
    """
    document = _AsyncApi()
    for domain in domains:
        document.add(domain, command)
    schemas: Json = {
        f"envelope_{kind}": {"type": "object", "properties": {**_ENVELOPE, **members}}
        for kind, members in _ENVELOPES.items()
    }
    schemas |= document.schemas.named
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version},
        "defaultContentType": "application/json",
        "channels": document.channels,
        "operations": document.operations,
        "components": {
            "messages": document.messages,
            "schemas": {
                name: {"schemaFormat": JSON_SCHEMA, "schema": schema}
                for name, schema in schemas.items()
            },
        },
    }


def as_text(domains: Iterable[Domain[Any]], command: str | None = None) -> str:
    """Return the description of some domains, or of one command in them, as text."""
    return "\n\n".join(_describe_domain(domain, command) for domain in domains)


def _describe_domain(domain: Domain[Any], only: str | None) -> str:
    lines = [f"{domain.name}: {domain.description}".partition("\n")[0]] if only is None else []
    types: _Types = {}
    for command in _public(domain, only):
        lines += [f"  {domain.name}.{command.name}", *_indent(command.description, 4)]
        lines += _describe_message(command.payload, 4, types)
        if command.result:
            lines += [f"    -> {command.result.cls.__name__}"]
            lines += _describe_message(command.result, 7, types)
    for name, event in domain.events.items() if only is None else ():
        lines += [f"  event {domain.name}.{name}", *_indent(event.description, 4)]
        lines += _describe_message(event, 4, types)
    return "\n".join([*lines, *itertools.chain(*map(_describe_type, types.values()))])


def _describe_message(message: MessageType, width: int, types: _Types) -> list[str]:
    _add_types(message.handler, types)
    return _describe_members(message.handler, width)


def _describe_members(handler: DataclassType, width: int) -> list[str]:
    members = split_docstring(handler._class.__doc__ or "")[1]
    lines: list[str] = []
    for name, each in handler._handlers.items():
        text = f": {in_words_of_json(each.name)}"
        if (default := _default_of(handler, name)) is not MISSING:
            text = f"?{text} = {json.dumps(default)}"
        text = f"{' ' * width}{member_name(name)}{text}"
        lines.append(f"{text}  {members[name]}" if name in members else text)
    return lines


def _add_types(handler: TypeHandler, types: _Types) -> None:
    """Add the types of the values of a type, those that its name does not explain."""
    parts = [*handler._handlers.values()] if isinstance(handler, DataclassType) else handler.parts
    for part in [*parts, handler.key] if isinstance(handler, DictOf) else parts:
        if isinstance(part, DataclassType | Encoded):
            if (key := (part._class, part.name)) in types:
                continue
            types[key] = part
        if not isinstance(part, AnyJson):  # it is a part of itself
            _add_types(part, types)


def _describe_type(handler: DataclassType | Encoded) -> list[str]:
    title, text = f"  type {handler.name}", _indent(handler._class.__doc__ or "", 4)
    if isinstance(handler, DataclassType):
        return [title, *text, *_describe_members(handler, 4)]
    schema = Schemas().of(handler)
    if "enum" in schema:
        return [title, *text, f"    {' | '.join(map(json.dumps, schema['enum']))}"]
    return [title, f"    {', '.join(schema.values())}"]


def _indent(text: str, width: int) -> list[str]:
    return [f"{' ' * width}{line}".rstrip() for line in split_docstring(text)[0].splitlines()]


def _public(domain: Domain[Any], only: str | None) -> list[Command]:
    commands = [each for each in domain.commands.values() if not each.internal]
    return [each for each in commands if only in (None, each.name)]


def _ref(place: str, name: str) -> Json:
    return {"$ref": f"#/{place}/{name}"}

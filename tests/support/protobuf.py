"""Messages of protobuf's own runtime from definitions written down in tests: field numbers as a specification has them,
not as the code under test reads them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

Definition = Sequence[tuple[int, str, int, bool]]
"""Of each field: number, name, type, whether it is repeated. A message's name follows the field's after a point."""


def messages(
    package: str,
    definitions: Mapping[str, Definition],
    *,
    syntax: str = "proto3",
    one_of: Mapping[str, str] | None = None,
) -> dict[str, Callable[..., Any]]:
    """Message name -> its class. `one_of`: field -> the oneof that it belongs to."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax=syntax)
    for message, fields in definitions.items():
        described = file.message_type.add(name=message)
        for number, name, kind, repeated in fields:
            name, _, inner = name.partition(".")
            label = Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL
            field = described.field.add(name=name, number=number, type=kind, label=label)  # type: ignore[arg-type]
            if inner:
                field.type_name = f".{package}.{inner}"
            if wanted := (one_of or {}).get(name):
                declared = [each.name for each in described.oneof_decl]
                if wanted not in declared:
                    described.oneof_decl.add(name=wanted)
                    declared.append(wanted)
                field.oneof_index = declared.index(wanted)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call]
    found = {}
    for message in definitions:
        descriptor = pool.FindMessageTypeByName(f"{package}.{message}")  # type: ignore[no-untyped-call]
        found[message] = message_factory.GetMessageClass(descriptor)
    return found

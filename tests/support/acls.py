"""The rights that a page of the docs grants by lines of `kafka-acls.sh`, as the client's own bindings."""

import argparse
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.support.waiting import wait_until

_KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional_id": ResourceType.TRANSACTIONAL_ID,
}
#: The client's type hints want text where it takes None for "any".
_ANY = cast("str", None)
_EVERYTHING = AclBindingFilter(
    ResourceType.ANY, _ANY, ResourcePatternType.ANY, _ANY, _ANY, AclOperation.ANY, AclPermissionType.ANY
)


def granted_by(page: Path) -> list[AclBinding]:
    """Every right that the page's lines give, one operation on one resource each."""
    lines = page.read_text().replace("\\\n", " ").splitlines()
    return [right for line in lines if line.startswith("kafka-acls.sh ") for right in rights_in(line)]


def rights_in(line: str) -> list[AclBinding]:
    """Every right that one line gives."""
    return list(_rights(shlex.split(line)[1:]))


def known(admin: AdminClient, rights: Iterable[AclBinding]) -> bool:
    """Whether the broker honours all of them."""
    return set(map(_key, rights)) <= _known(admin)


def grant(admin: AdminClient, rights: Iterable[AclBinding]) -> None:
    """The broker honours them."""
    wanted = list(rights)
    for made in admin.create_acls(wanted).values():
        made.result(15)
    wait_until(lambda: known(admin, wanted), 15, "the rights' arrival")


def take_away(admin: AdminClient, rights: Iterable[AclBinding]) -> None:
    """The broker honours them no longer."""
    gone = list(rights)
    for deleted in admin.delete_acls([_only(right) for right in gone]).values():
        deleted.result(15)
    wait_until(lambda: not set(map(_key, gone)) & _known(admin), 15, "the rights' end")


def _rights(words: list[str]) -> Iterable[AclBinding]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--bootstrap-server", required=True)
    parser.add_argument("--add", action="store_true", required=True)
    parser.add_argument("--allow-principal", action="append", required=True)
    parser.add_argument("--operation", action="append", required=True)
    parser.add_argument("--resource-pattern-type", choices=["literal", "prefixed"], default="literal")
    for kind in _KINDS:
        parser.add_argument(f"--{kind.replace('_', '-')}", action="append", default=[])
    given = parser.parse_args(words)
    pattern = ResourcePatternType[given.resource_pattern_type.upper()]
    for kind, resource in _KINDS.items():
        for name in getattr(given, kind):
            for who in given.allow_principal:
                for operation in given.operation:
                    yield AclBinding(resource, name, pattern, who, "*", _operation(operation), AclPermissionType.ALLOW)


def _operation(name: str) -> AclOperation:
    return next(one for one in AclOperation if one.name.replace("_", "") == name.upper())


def _known(admin: AdminClient) -> set[tuple[object, ...]]:
    return {_key(right) for right in admin.describe_acls(_EVERYTHING).result(15)}


def _key(right: AclBinding) -> tuple[object, ...]:
    return right.restype, right.name, right.resource_pattern_type, right.principal, right.operation


def _only(right: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        right.restype,
        right.name,
        right.resource_pattern_type,
        right.principal,
        right.host,
        right.operation,
        right.permission_type,
    )

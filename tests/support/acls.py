"""Parses the `kafka-acls.sh` lines of a documentation page into ACL bindings, and adds or deletes them."""

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
#: None means "any", but the client's type hints require a string.
_ANY = cast("str", None)
_EVERYTHING = AclBindingFilter(
    ResourceType.ANY, _ANY, ResourcePatternType.ANY, _ANY, _ANY, AclOperation.ANY, AclPermissionType.ANY
)


def granted_by(page: Path) -> list[AclBinding]:
    """Return a binding for each operation on each resource that the page grants."""
    lines = page.read_text().replace("\\\n", " ").splitlines()
    return [binding for line in lines if line.startswith("kafka-acls.sh ") for binding in bindings_in(line)]


def bindings_in(line: str) -> list[AclBinding]:
    """Return the bindings that one `kafka-acls.sh` line grants."""
    return list(_bindings(shlex.split(line)[1:]))


def has_bindings(admin: AdminClient, bindings: Iterable[AclBinding]) -> bool:
    """Return whether the broker lists all of the bindings."""
    return set(map(_key, bindings)) <= _all_bindings(admin)


def grant(admin: AdminClient, bindings: Iterable[AclBinding]) -> None:
    """Add the bindings and wait until the broker lists them."""
    added = list(bindings)
    for future in admin.create_acls(added).values():
        future.result(15)
    wait_until(lambda: has_bindings(admin, added), 15, "the added ACLs")


def revoke(admin: AdminClient, bindings: Iterable[AclBinding]) -> None:
    """Delete the bindings and wait until the broker lists none of them."""
    deleted = list(bindings)
    for future in admin.delete_acls([_filter_for(binding) for binding in deleted]).values():
        future.result(15)
    wait_until(lambda: not set(map(_key, deleted)) & _all_bindings(admin), 15, "the deletion of ACLs")


def _bindings(arguments: list[str]) -> Iterable[AclBinding]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--bootstrap-server", required=True)
    parser.add_argument("--add", action="store_true", required=True)
    parser.add_argument("--allow-principal", action="append", required=True)
    parser.add_argument("--operation", action="append", required=True)
    parser.add_argument("--resource-pattern-type", choices=["literal", "prefixed"], default="literal")
    for kind in _KINDS:
        parser.add_argument(f"--{kind.replace('_', '-')}", action="append", default=[])
    options = parser.parse_args(arguments)
    pattern = ResourcePatternType[options.resource_pattern_type.upper()]
    for kind, resource in _KINDS.items():
        for name in getattr(options, kind):
            for principal in options.allow_principal:
                for operation in options.operation:
                    yield AclBinding(
                        resource, name, pattern, principal, "*", _operation(operation), AclPermissionType.ALLOW
                    )


def _operation(name: str) -> AclOperation:
    return next(operation for operation in AclOperation if operation.name.replace("_", "") == name.upper())


def _all_bindings(admin: AdminClient) -> set[tuple[object, ...]]:
    return {_key(binding) for binding in admin.describe_acls(_EVERYTHING).result(15)}


def _key(binding: AclBinding) -> tuple[object, ...]:
    return binding.restype, binding.name, binding.resource_pattern_type, binding.principal, binding.operation


def _filter_for(binding: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )

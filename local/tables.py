"""DynamoDB: moto's tables, without its habit of copying or sorting a whole table at every step.

moto copies every item of a table before each transaction, to be able to roll back, and sorts all
of a partition for each query. Both are given only the items that matter; what they do with them
stays moto's. Its serializer walks through the ten possible members of each attribute's value; it
need not.
"""

from typing import TYPE_CHECKING, Any

from local.patches import Patch, original

if TYPE_CHECKING:
    from local.cloud import Cloud


_Keys = list[tuple[Any, Any]]


def patches(_: "Cloud | None" = None) -> list[Patch]:
    """Replacements in moto's DynamoDB; its callers hold the service's lock."""
    return [
        Patch(
            "moto.dynamodb.models:DynamoDBBackend.transact_write_items",
            "81db2cb7d94e39c90b3a2077e1f4bb41a449c558ef9b1b1e2910fdaa39978ad4",
            _transact(),
        ),
        Patch(
            "moto.dynamodb.models.table:Table.query",
            "002b4d00be6df07cf37f6cbe0132e5eb89455ae12a8e79b23db3fb492450f21e",
            _query(),
        ),
        Patch(
            "moto.core.serialize:BaseJSONSerializer._serialize_type_structure",
            "36873909cd0aeb4defa91cc9912c6e90a62d7d92ced6150ac7de92fd10a81967",
            _serialize(),
        ),
    ]


def _serialize() -> Any:
    serialize = original("moto.core.serialize:BaseJSONSerializer._serialize_type_structure")

    def serialize_type_structure(
        self: Any, serialized: Any, value: Any, shape: Any, key: str
    ) -> None:
        """moto's, but an attribute's value is written at once: it looks as it is sent."""
        plain = _plain(value) if key and shape.name == "AttributeValue" else None
        if plain is None:
            serialize(self, serialized, value, shape, key)
        else:
            self._default_serialize(serialized, plain, shape, key)

    return serialize_type_structure


def _plain(value: Any) -> dict[str, Any] | None:
    """An attribute's value as it is sent; None for what only moto knows how to send (binary)."""
    if isinstance(value, dict):
        ((kind, content),) = value.items()
    else:
        kind, content = value.type, value.value
    if kind == "M":
        members = {name: _plain(each) for name, each in content.items()}
        return None if None in members.values() else {kind: members}
    if kind == "L":
        entries = [_plain(each) for each in content]
        return None if None in entries else {kind: entries}
    return {kind: content} if kind in ("S", "N", "BOOL", "NULL") else None


def _transact() -> Any:
    transact = original("moto.dynamodb.models:DynamoDBBackend.transact_write_items")

    def transact_write_items(self: Any, transact_items: list[dict[str, Any]]) -> None:
        """moto's, on tables that for this moment hold only the items of the transaction."""
        touched = _touched(self, transact_items)
        whole = {}
        for name, keys in touched.items():
            table = self.tables[name]
            whole[name] = (table, table.items)
            table.items = _part(table, keys)
        try:
            transact(self, transact_items)
        finally:
            for name, (table, items) in whole.items():
                changed = self.tables[name].items  # a rollback puts another table here
                self.tables[name] = table
                table.items = items
                for hash_key, range_key in touched[name]:
                    _merge(items, changed, hash_key, range_key)

    return transact_write_items


def _touched(backend: Any, transact_items: list[dict[str, Any]]) -> dict[str, _Keys]:
    touched: dict[str, _Keys] = {}
    for entry in transact_items:
        for operation in entry.values():
            table = backend.tables.get(operation.get("TableName"))
            key = operation.get("Key") or operation.get("Item") or {}
            wanted = [table.hash_key_attr] if table is not None else []
            if table is not None and table.has_range_key:
                wanted.append(table.range_key_attr)
            if wanted and all(name in key for name in wanted):  # else moto refuses the request
                touched.setdefault(operation["TableName"], []).append(
                    backend.get_keys_value(table, key)
                )
    return touched


def _part(table: Any, keys: _Keys) -> Any:
    part = type(table.items)(table.items.default_factory)
    for hash_key, range_key in keys:
        if hash_key not in table.items:
            continue
        if range_key is None:
            part[hash_key] = table.items[hash_key]
        elif range_key in table.items[hash_key]:
            part[hash_key][range_key] = table.items[hash_key][range_key]
    return part


def _merge(items: Any, changed: Any, hash_key: Any, range_key: Any) -> None:
    if range_key is None:
        if hash_key in changed:
            items[hash_key] = changed[hash_key]
        else:
            items.pop(hash_key, None)
    elif hash_key in changed and range_key in changed[hash_key]:
        items[hash_key][range_key] = changed[hash_key][range_key]
    elif hash_key in items:
        items[hash_key].pop(range_key, None)


def _query() -> Any:
    query = original("moto.dynamodb.models.table:Table.query")

    def query_part(
        self: Any,
        hash_key: Any,
        range_comparison: str | None,
        range_objs: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """moto's, over the items of the prefix that is asked for."""
        # After limit, start key, direction and projection comes the name of an index.
        index = kwargs.get("index_name") or (args[4] if len(args) > 4 else None)
        prefixed = range_comparison == "BEGINS_WITH" and not index
        if not prefixed or hash_key not in self.items:
            return query(self, hash_key, range_comparison, range_objs, *args, **kwargs)
        prefix = range_objs[0].value
        whole = self.items
        part = type(whole)(whole.default_factory)
        part[hash_key] = {
            key: item for key, item in whole[hash_key].items() if key.value.startswith(prefix)
        }
        self.items = part
        try:
            return query(self, hash_key, range_comparison, range_objs, *args, **kwargs)
        finally:
            self.items = whole

    return query_part

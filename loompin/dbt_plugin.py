"""The dbt-duckdb plugin that gives dbt's connections the functions that SQL cannot hold: masking, shares, texts,
linkage.

Named in `dbt_project/profiles.yml`. The key stays in this process: it is no argument of any SQL, so that it is in no
log and no compiled file. How a value is masked is in `loompin.privacy`, how shares, scores and links are computed in
`loompin.importance`, `loompin.sentiment`, `loompin.brands` and `loompin.linkage`; here is only how DuckDB calls them.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from dbt.adapters.duckdb.plugins import BasePlugin

from loompin import brands, contracts, importance, linkage, sentiment
from loompin.contracts import Contracts
from loompin.privacy import KnownName, Redactor, load_key, pseudonymiser
from loompin.settings import Settings


class Plugin(BasePlugin):
    """Registers what masks personal data and what the analytics models call on dbt's connection."""

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Called once for the database that dbt opens; cursors share what is registered here."""
        register(conn, load_key(Settings()))
        register_analytics(conn)


def register_analytics(connection: duckdb.DuckDBPyConnection) -> None:
    """Register what the analytics models call.

    `topic_shares(part, row, column, value)` takes arrays of the cells of matrices (`loompin.importance.topic_shares`);
    places of topics in its result count from 1. `vader_compound(text)` is `loompin.sentiment.compound` of many texts,
    `without_names(text, names)` each text without names that are given one a line (`loompin.brands`).
    `identity_pairs(records, weights)` and `identity_clusters(links)` take and give arrays of structs:
    `loompin.linkage.pairs` and `clusters`.
    """
    shares = (
        "STRUCT(place BIGINT, r2 DOUBLE, lmg DOUBLE, lmg_margin DOUBLE, johnson DOUBLE, johnson_margin DOUBLE,"
        " is_exact BOOLEAN, is_collinear BOOLEAN)[]"
    )
    parameters = ["BIGINT[]", "BIGINT[]", "BIGINT[]", "DOUBLE[]"]
    connection.create_function("topic_shares", _topic_shares, parameters, shares)  # type: ignore[arg-type]
    scorer = sentiment.Scorer()

    def scores(texts: pa.ChunkedArray) -> pa.Array:
        # A text that is absent has no word of the lexicon either.
        return pa.array(scorer([text or "" for text in texts.to_pylist()]), pa.float64())

    connection.create_function(
        "vader_compound", scores, ["VARCHAR"], "DOUBLE", type="arrow", null_handling="special",
    )  # type: ignore[call-overload]  # fmt: skip

    def nameless(texts: pa.ChunkedArray, names: pa.ChunkedArray) -> pa.Array:
        # Each tenant's names become Python's once: they repeat.
        told = _encoded(names)
        known = [None if lines is None else brands.names_of(lines) for lines in told.dictionary.to_pylist()]
        return pa.array(
            [
                text if text is None or place is None or (one := known[place]) is None else one.without(text)
                for text, place in zip(texts.to_pylist(), told.indices.to_pylist(), strict=True)
            ],
            pa.string(),
        )

    connection.create_function(
        "without_names", nameless, ["VARCHAR", "VARCHAR"], "VARCHAR", type="arrow", null_handling="special",
    )  # type: ignore[call-overload]  # fmt: skip

    def pairs(records: pa.ChunkedArray, weights: pa.ChunkedArray) -> pa.Array:
        return _per_row(_pairs, linkage.PAIR_FIELDS, records, weights)

    def clusters(links: pa.ChunkedArray) -> pa.Array:
        return _per_row(_clusters, _MEMBER_FIELDS, links)

    for name, function, given, result in (
        ("identity_pairs", pairs, [_array(linkage.RECORD_FIELDS), _array(_WEIGHT_FIELDS)], linkage.PAIR_FIELDS),
        ("identity_clusters", clusters, [_array(_LINK_FIELDS)], _MEMBER_FIELDS),
    ):
        connection.create_function(name, function, given, _array(result), type="arrow")  # type: ignore[call-overload]


_WEIGHT_FIELDS = pa.schema({"comparison": pa.string(), "level": pa.int64(), "m": pa.float64(), "u": pa.float64()})
_LINK_FIELDS = pa.schema({"left_number": pa.int64(), "right_number": pa.int64(), "probability": pa.float64()})
_MEMBER_FIELDS = pa.schema(
    {"number": pa.int64(), "cluster": pa.int64(), "size": pa.int64(), "probability": pa.float64()}
)
_SQL_TYPES = {pa.int64(): "BIGINT", pa.string(): "VARCHAR", pa.float64(): "DOUBLE", pa.date32(): "DATE"}


def _array(fields: pa.Schema) -> str:
    """The SQL type of an array of structs."""
    return f"STRUCT({', '.join(f'{field.name} {_SQL_TYPES[field.type]}' for field in fields)})[]"


def _per_row(function: Callable[..., pa.Table], fields: pa.Schema, *arguments: pa.ChunkedArray) -> pa.Array:
    """Call a function of tables for each row, whose values are arrays of structs."""
    nothing = pa.array([], pa.struct(list(fields)))
    made = []
    for row in range(len(arguments[0])):
        tables = (pa.Table.from_struct_array(argument[row].values) for argument in arguments)
        made.append(pa.concat_arrays([nothing, *function(*tables).to_struct_array().chunks]))
    offsets = [0, *itertools.accumulate(len(structs) for structs in made)]
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.concat_arrays([nothing, *made]))


def _pairs(records: pa.Table, weights: pa.Table) -> pa.Table:
    model = [linkage.Weight(**weight) for weight in weights.to_pylist()]
    return linkage.pairs(records, model, Settings().scratch)


def _clusters(links: pa.Table) -> pa.Table:
    columns = (links[name].to_pylist() for name in _LINK_FIELDS.names)
    members = linkage.clusters(zip(*columns, strict=True))
    return pa.Table.from_pylist([member._asdict() for member in members], _MEMBER_FIELDS)


def _topic_shares(
    groups: list[int], rows: list[int], columns: list[int], values: list[float]
) -> list[dict[str, float | bool | None]]:
    found = enumerate(importance.topic_shares(groups, rows, columns, values), 1)
    return [
        {"place": place, "r2": one.r2, "lmg": one.lmg, "lmg_margin": one.lmg_margin, "johnson": one.johnson,
         "johnson_margin": one.johnson_margin, "is_exact": one.exact, "is_collinear": one.collinear}
        for place, one in found if one is not None
    ]  # fmt: skip


def register(connection: duckdb.DuckDBPyConnection, key: bytes, declared: Contracts | None = None) -> None:
    """Register the masking functions on a connection to the warehouse, whose known names are read now.

    The functions: `pseudonym(value)`, `redact(text, tenant_id)`, `redact_json(json, tenant_id)`, all of VARCHAR. A NULL
    value stays NULL; a NULL tenant means that the names known in any tenant are redacted. `masking_digest()` tells all
    that they depend on besides their arguments and the code.
    """
    pseudonym = pseudonymiser(key)
    names = known_names(connection, declared or contracts.load())
    redactor = Redactor(lambda: _each(names))

    def pseudonyms(values: pa.ChunkedArray) -> pa.Array:
        return _map_distinct(pseudonym, values)

    def texts(values: pa.ChunkedArray, tenants: pa.ChunkedArray) -> pa.Array:
        given = values.to_pylist()
        changed = redactor.changes([text or "" for text in given], tenants.to_pylist())
        for place, text in changed.items():
            given[place] = text
        return pa.array(given, pa.string()) if changed else values.combine_chunks()

    def jsons(values: pa.ChunkedArray, tenants: pa.ChunkedArray) -> pa.Array:
        return _map(redactor.json, values, tenants)

    one, two = ["VARCHAR"], ["VARCHAR", "VARCHAR"]
    functions: tuple[tuple[str, Callable[..., pa.Array], list[str]], ...] = (
        ("pseudonym", pseudonyms, one), ("redact", texts, two), ("redact_json", jsons, two),
    )  # fmt: skip
    for name, function, parameters in functions:
        connection.create_function(
            name, function, parameters, "VARCHAR", type="arrow", null_handling="special",
        )  # type: ignore[call-overload]  # fmt: skip

    @functools.cache
    def digest() -> str:
        lines = [pseudonym("")]
        for table in names:
            lines += sorted(repr(pair) for pair in zip(*(column.to_pylist() for column in table.columns), strict=True))
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    connection.create_function("masking_digest", digest, [], "VARCHAR")


def known_names(connection: duckdb.DuckDBPyConnection, declared: Contracts) -> list[pa.Table]:
    """The distinct names of people in the accepted rows, with the tenant where the table has one: (name, tenant)."""
    present = {
        table for (table,) in connection.execute(
            "select table_name from information_schema.tables "
            "where table_schema = 'source' and table_catalog = current_database()"
        ).fetchall()
    }  # fmt: skip
    found = []
    for table in declared.tables.values():
        for column in table.columns:
            if column.personal == "name" and table.name in present:
                tenant = f'"{table.tenant}"' if table.tenant else "null"
                sql = (
                    f'select distinct cast("{column.name}" as varchar) as name, cast({tenant} as varchar) as tenant '
                    f'from source."{table.name}" where "{column.name}" is not null'
                )
                found.append(connection.execute(sql).to_arrow_table())
    return found


def _each(tables: list[pa.Table]) -> Iterator[KnownName]:
    for table in tables:
        for batch in table.to_batches(max_chunksize=65_536):
            yield from map(KnownName, batch.column(0).to_pylist(), batch.column(1).to_pylist())


def _map(function: Callable[[str, str | None], str], values: pa.ChunkedArray, tenants: pa.ChunkedArray) -> pa.Array:
    pairs: Iterator[tuple[Any, Any]] = zip(values.to_pylist(), tenants.to_pylist(), strict=True)
    return pa.array([None if value is None else function(value, tenant) for value, tenant in pairs], pa.string())


def _map_distinct(function: Callable[[str], str], values: pa.ChunkedArray) -> pa.Array:
    """Each distinct value once: the columns that are pseudonymised repeat."""
    encoded = _encoded(values)
    masked = pa.array([function(value) for value in encoded.dictionary.to_pylist()], pa.string())
    return masked.take(encoded.indices)


def _encoded(values: pa.ChunkedArray) -> pa.DictionaryArray:
    return pc.dictionary_encode(pa.concat_arrays(values.chunks) if isinstance(values, pa.ChunkedArray) else values)

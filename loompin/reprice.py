"""The whole history rated again under proposed prices, and what would have been billed held against what was.

The proposed files take the place of the platform's price entries (and books) as if they had been known from the
beginning; everything else (usage, plans, subscriptions, assignments) is as the record knows it. What both sides bill is
added up by service month, whatever invoice it stands on, so that adjustments count for the month that they correct.
Amounts of different currencies are never added.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Group

from loompin import contracts as contracts_module
from loompin import landing, money, output, price_sets, reading, scratch, sources
from loompin import night as nights
from loompin.contracts import Table
from loompin.known import BEGINNING, State
from loompin.record import FileVersion, Record, version_id
from loompin.settings import Settings
from loompin.sqltext import literal, name

ENTRIES, BOOKS = "price_entries", "price_books"
_MODELS = ("invoice_lines", "int_billing_quarantine")
_MOST = 20
_ZERO = Decimal(0)
_ONE = Decimal(1)

BILLED = """
    select tenant_id, any_value(tenant_slug) as tenant_slug, currency, item_key,
        cast(date_trunc('month', service_from) as date) as month, sum(amount) as amount,
        sum(case when line_type in ('usage', 'adjustment') and item_key not like 'plan:%' and item_key <> 'minimum'
            then quantity else 0 end) as units
    from invoice_lines
    where line_type <> 'credit' and date_trunc('month', service_from) between ? and ?
    group by tenant_id, currency, item_key, month
"""
"""What was billed for the service months between two (their first days): plan fees, usage, minimums, whatever invoice
they stand on. A `credit` line moves what an invoice lacks to a credit note, so it belongs to no service."""


class ProposalRefused(nights.UsageError):
    """The proposed prices cannot be used; `problems` name file, line, column, value and what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        told = "; ".join(problems[:_MOST]) + (f"; and {len(problems) - _MOST:,} more" if len(problems) > _MOST else "")
        super().__init__(f"the proposed prices cannot be used: {told}")
        self.problems = list(problems)


@dataclass(frozen=True)
class Change:
    """What one tenant pays for an item and service month in one currency: as billed and under the proposed prices.

    `units` are those billed, None for what is no usage.
    """

    tenant_id: str
    tenant_slug: str
    currency: str
    item_key: str
    month: date
    billed: Decimal
    proposed: Decimal
    units_billed: Decimal
    units_proposed: Decimal

    @property
    def difference(self) -> Decimal:
        """Proposed less billed, in the currency."""
        return self.proposed - self.billed


@dataclass(frozen=True)
class Cliff:
    """A bound of a volume price beside which a tenant's total of an item and month does not rise steadily.

    `units` are the billable ones (without the free ones), `units_to_bound` how many are missing to the bound (negative:
    how many lie beyond it); `at_bound`, `past_bound` and `one_unit_past` are what the item costs exactly at the bound,
    with any amount more, and with one unit more.
    """

    tenant_id: str
    tenant_slug: str
    currency: str
    item_key: str
    month: date
    price_book: str
    units: Decimal
    amount: Decimal
    bound: Decimal
    units_to_bound: Decimal
    at_bound: Decimal
    past_bound: Decimal
    one_unit_past: Decimal

    @property
    def kind(self) -> str:
        """`falls` or `jumps`: what the total does past the bound."""
        return "falls" if self.past_bound < self.at_bound else "jumps"

    @property
    def step(self) -> Decimal:
        """How far the total falls (negative) or jumps, in the currency."""
        return self.past_bound - self.at_bound


@dataclass
class Repriced:
    """Everything that `loompin reprice` shows."""

    night: date
    since: date
    until: date
    files: dict[str, str]
    changes: list[Change]
    cliffs: list[Cliff]
    warnings: list[str] = field(default_factory=list)

    def by(self, *columns: str) -> list[dict[str, Any]]:
        """The sums of `billed`, `proposed` and `difference` by some columns; the currency is always one of them."""
        assert "currency" in columns
        sums: dict[tuple[Any, ...], list[Decimal]] = defaultdict(lambda: [_ZERO, _ZERO])
        for change in self.changes:
            found = sums[tuple(getattr(change, column) for column in columns)]
            found[0] += change.billed
            found[1] += change.proposed
        return [
            {
                **dict(zip(columns, key, strict=True)), "billed": billed, "proposed": proposed,
                "difference": proposed - billed,
            }
            for key, (billed, proposed) in sorted(sums.items())
        ]  # fmt: skip

    def plain(self) -> dict[str, Any]:
        """As a dictionary, for JSON."""
        tenants = self.by("tenant_id", "tenant_slug", "currency")
        return {
            "night": self.night,
            "from": f"{self.since:%Y-%m}",
            "to": f"{self.until:%Y-%m}",
            "files": self.files,
            "totals": self.by("currency"),
            "tenants": tenants,
            "winners": _extremes(tenants, -1),
            "losers": _extremes(tenants, 1),
            "months": [_of_month(row) for row in self.by("month", "currency")],
            "items": self.by("currency", "item_key"),
            "unbilled": [_of_month(asdict(change)) for change in _unbilled(self.changes)],
            "cliffs": [{**_of_month(asdict(c)), "kind": c.kind, "step": c.step} for c in self.cliffs],
            "warnings": self.warnings,
        }


def month(text: str) -> date:
    """The first day of a month such as 2026-01.

    Raises:
        night.UsageError: it is none.
    """
    found = re.fullmatch(r"(\d{4})-(\d{2})", text)
    if not found or not 1 <= int(found[2]) <= 12 or int(found[1]) < 1:
        raise nights.UsageError(f"'{text}' is no month of the form YYYY-MM, such as 2026-01")
    return date(int(found[1]), int(found[2]), 1)


def reprice(
    settings: Settings, files: Mapping[str, Path], since: date, until: date, derive: scratch.Derive,
    tell: Callable[[str], None] | None = None,
) -> Repriced:  # fmt: skip
    """Rate the whole history under proposed prices and compare.

    Args:
        settings: the home; nothing in it is written.
        files: the proposed file of `price_entries` and, if they change too, of `price_books`.
        since: first service month to compare (its first day).
        until: last service month to compare, included.
        derive: what builds the models.
        tell: called with what is done now.

    Raises:
        night.UsageError: a file does not exist, or the months hold nothing billed.
        ProposalRefused: a file does not fit the contract of its table, or its prices do not make sets.
        night.NightError: the models cannot be built.
    """
    say = tell or (lambda _what: None)
    _check_files(files)
    if since > until:
        raise nights.UsageError(f"--from {since:%Y-%m} is after --to {until:%Y-%m}")
    with reading.published(settings) as connection:
        night = reading.rows(connection, "select night from data_as_of")[0]["night"]
        span = reading.rows(
            connection,
            "select cast(date_trunc('month', min(service_from)) as date) as first,"
            " cast(date_trunc('month', max(service_from)) as date) as last from invoice_lines",
        )[0]
        if span["first"] is None:
            raise nights.UsageError("nothing has been billed yet, so there is nothing to rate again")
        if since > span["last"] or until < span["first"] or until > span["last"]:
            raise nights.UsageError(
                f"--from {since:%Y-%m} --to {until:%Y-%m}: billed so far are the service months"
                f" {span['first']:%Y-%m} to {span['last']:%Y-%m}"
            )
        billed = reading.rows(connection, BILLED, since, until)
    with scratch.opened(settings, "reprice") as made:
        say("landing the proposed prices")
        warnings = _land(made, nights.recorded(Record(settings.raw), night), files)
        derive(made, _MODELS)
        _refuse(_broken_sets(made))
        proposed = scratch.rows(made, BILLED, since, until)
        cliffs = _cliffs(made, since, until)
    if until >= first_open_month(night):
        warnings.append(
            f"{until:%Y-%m}: its usage is billed with the night of the first day after it; only plan fees count so far"
        )
    told = {table: str(file) for table, file in files.items()}
    return Repriced(night, since, until, told, _changes(billed, proposed), cliffs, warnings)


def first_open_month(night: date) -> date:
    """The first day of the first month whose usage is not billed yet on a night."""
    return night.replace(day=1)


# -- the proposed files ----------------------------------------------------------------------------------------------


def _check_files(files: Mapping[str, Path]) -> None:
    for table, file in files.items():
        if not file.is_file():
            raise nights.UsageError(f"there is no file {file}; give the proposed {table} as CSV, JSON Lines or Parquet")
        if file.suffix.lower() not in sources.SUFFIXES:
            raise nights.UsageError(f"{file}: what it holds is told by its ending; use {', '.join(sources.SUFFIXES)}")


def _land(made: scratch.Scratch, state: State, files: Mapping[str, Path]) -> list[str]:
    """Land and validate the proposed files in place of the platform's, known from the beginning: warnings."""
    declared = contracts_module.load()
    versions = [version for version in state.versions if version.table not in files]
    parts: dict[str, Path] = {}
    began = min((version.accepted for version in versions if version.accepted), default=state.night)
    for table, file in files.items():
        version = _land_file(made, declared.tables[table], file, began)
        parts[version.id] = made.home / "proposed" / table / f"{version.id}.parquet"
        versions.append(version)
    landed = scratch.land(made, State(state.night, versions, (), {}, state.nights), parts)
    refused = scratch.rows(
        made,
        "select source_file, source_line, column_name, value, rule, reason, row_json from landing.quarantine"
        f" where table_name in ({', '.join(literal(table) for table in files)}) order by all",
    )
    _refuse(_in_words(refused))
    tables = {table.table: table for table in landed}
    _refuse([f"{table}: {error}" for table in files for error in tables[table].errors])
    for table in files:
        if not scratch.rows(made, f"select 1 from source.{name(table)} limit 1"):
            _refuse([f"{files[table]}: it holds no row"])
    _always_known(made, files)
    told = [check for table in files for check in tables[table].checks if check.status != "pass" and check.message]
    return [warning for table in files for warning in tables[table].warnings] + [check.message for check in told]


def _land_file(made: scratch.Scratch, table: Table, file: Path, began: date) -> FileVersion:
    """A proposed file as a version of the table's; of rows with `received_at` the latest of each key."""
    target = made.home / "proposed" / table.name
    target.mkdir(parents=True, exist_ok=True)
    try:
        scanned = landing.scan(file)
        identity = version_id(table.name, str(file), scanned.content, table.fingerprint)
        part = target / f"{identity}.parquet"
        with contextlib.closing(landing.connect(temp=made.scratch)) as connection:
            landed = landing.land(connection, table, file, scanned, part)
            _only_latest(connection, table, part)
    except landing.FileFailed as error:
        raise ProposalRefused([f"{file} {error}"]) from error
    return FileVersion(
        id=identity, table=table.name, source_file=str(file), content=scanned.content, contract=table.fingerprint,
        source_bytes=scanned.size, accepted=began, completed_before=None, **asdict(landed),
    )  # fmt: skip


def _only_latest(connection: duckdb.DuckDBPyConnection, table: Table, part: Path) -> None:
    """Drop the rows that a later version in the file replaces, and the times at which versions were received."""
    key = ", ".join(name(column) for column in table.key)
    lean = part.with_suffix(".latest")
    connection.execute(
        f"copy (select * exclude (file_row_number) replace (coalesce(_line, file_row_number) as _line,"
        f" null::timestamp as received_at) from read_parquet({literal(str(part))}, file_row_number = true)"
        f" qualify _bad is not null or rank() over (partition by {key} order by received_at desc nulls last) = 1"
        f" order by file_row_number) to {literal(str(lean))} (format parquet)"
    )
    lean.replace(part)


def _always_known(made: scratch.Scratch, tables: Iterable[str]) -> None:
    """Make the rows of tables known from the beginning, whatever they refer to."""
    with contextlib.closing(landing.connect(temp=made.scratch, database=made.warehouse)) as connection:
        for table in tables:
            kept = f"landing.{name('proposed_' + table)}"
            connection.execute(
                f"create table {kept} as select * replace ({BEGINNING} as _known_night) from source.{name(table)}"
            )
            connection.execute(f"create or replace view source.{name(table)} as select * from {kept}")
            connection.execute(
                f"update landing.{name('history_' + table)} set _known_night = {BEGINNING}, _ended_night = null"
            )


def _broken_sets(made: scratch.Scratch) -> list[str]:
    """Entries whose set has tiers that do not fit together, as billing finds them."""
    return _in_words(
        scratch.rows(
            made,
            "select source_file, source_line, column_name, value, rule, reason, row_json"
            f" from intermediate.int_billing_quarantine where table_name = {literal(ENTRIES)} order by all",
        )
    )


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise ProposalRefused(problems)


def _in_words(rows: Iterable[dict[str, Any]]) -> list[str]:
    return [
        f"{row['source_file']}, line {row['source_line']}"
        + (f", {row['column_name']}" if row["column_name"] else "")
        + (f" '{row['value']}'" if row["value"] is not None else "")
        + f": {row['reason']} ({row['rule']}; the row: {row['row_json']})"
        for row in rows
    ]


# -- what comes of them ----------------------------------------------------------------------------------------------


def _changes(billed: list[dict[str, Any]], proposed: list[dict[str, Any]]) -> list[Change]:
    def keyed(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
        return {(row["tenant_id"], row["currency"], row["item_key"], row["month"]): row for row in rows}

    before, now = keyed(billed), keyed(proposed)
    nothing = {"amount": _ZERO, "units": _ZERO}
    changes = []
    for key in before.keys() | now.keys():
        was, would = before.get(key, nothing), now.get(key, nothing)
        changes.append(
            Change(
                tenant_id=key[0], tenant_slug=(before.get(key) or now[key])["tenant_slug"], currency=key[1],
                item_key=key[2], month=key[3], billed=was["amount"], proposed=would["amount"],
                units_billed=was["units"], units_proposed=would["units"],
            )
        )  # fmt: skip
    return sorted(changes, key=lambda c: (c.tenant_slug, c.tenant_id, c.currency, c.month, c.item_key))


def _unbilled(changes: Iterable[Change]) -> list[Change]:
    """What was billed by the unit and has no price under the proposal."""
    return [change for change in changes if change.units_proposed < change.units_billed]


def _cliffs(made: scratch.Scratch, since: date, until: date) -> list[Cliff]:
    """The bounds of proposed volume prices next to the units of each tenant, item and month, nearest first."""
    entries = scratch.rows(
        made,
        "select id, price_book, item_key, valid_from, pricing_model, tier_up_to, unit_price,"
        " coalesce(flat_fee, 0) as flat_fee, coalesce(free_units, 0) as free_units"
        " from source.price_entries where pricing_model = 'volume'",
    )
    sets: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for entry in entries:
        sets[entry["price_book"], entry["item_key"], entry["valid_from"]].append(entry)
    tiers_of = {entry["id"]: price_sets.in_order(tiers) for tiers in sets.values() for entry in tiers}
    used = scratch.rows(
        made,
        "select tenant_id, any_value(tenant_slug) as tenant_slug, currency, item_key, price_book, price_entry_id,"
        " cast(date_trunc('month', service_from) as date) as month, sum(quantity) as units from invoice_lines"
        " where line_type in ('usage', 'adjustment') and price_entry_id is not null"
        " and date_trunc('month', service_from) between ? and ? group by all order by all",
        since, until,
    )  # fmt: skip
    found = [cliff for row in used if row["price_entry_id"] in tiers_of
             for cliff in cliffs_of(row, tiers_of[row["price_entry_id"]])]  # fmt: skip
    return sorted(found, key=lambda c: (abs(c.units_to_bound) / c.bound, c.tenant_slug, c.item_key, c.month))


def cliffs_of(used: Mapping[str, Any], tiers: Sequence[price_sets.Tier]) -> Iterator[Cliff]:
    """The cliffs around the units of one tenant, item, volume set and month: the next bound above, and one below that
    made the total fall, where the tenant pays no more than at that bound.

    Args:
        used: `tenant_id`, `tenant_slug`, `currency`, `item_key`, `month`, `price_book`, and `units` before free ones.
        tiers: the set's entries in the order of their bounds.
    """
    units = max(_ZERO, used["units"] - tiers[0]["free_units"])
    amount = price_sets.billable_amount(tiers, units)
    for below, above in itertools.pairwise(tiers):
        bound = below["tier_up_to"]
        at_bound = price_sets.billable_amount(tiers, bound)
        past_bound = money.EXACT.add(money.EXACT.multiply(bound, above["unit_price"]), above["flat_fee"])
        if past_bound == at_bound:
            continue
        next_above = units <= bound and not any(
            units <= tier["tier_up_to"] < bound for tier in tiers if tier["tier_up_to"] is not None
        )
        fell = units > bound and past_bound < at_bound and amount <= at_bound
        if next_above or fell:
            yield Cliff(
                tenant_id=used["tenant_id"], tenant_slug=used["tenant_slug"], currency=used["currency"],
                item_key=used["item_key"], month=used["month"], price_book=used["price_book"], units=units,
                amount=amount, bound=bound, units_to_bound=bound - units, at_bound=at_bound, past_bound=past_bound,
                one_unit_past=price_sets.billable_amount(tiers, bound + _ONE),
            )  # fmt: skip


# -- how it is shown -------------------------------------------------------------------------------------------------

CSV_COLUMNS = (
    "tenant_id", "tenant_slug", "currency", "month", "item_key", "billed", "proposed", "difference", "units_billed",
    "units_proposed",
)  # fmt: skip


def write_csv(found: Repriced, path: Path) -> None:
    """Write what changes, one row a tenant, currency, service month and item."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for change in found.changes:
            plain = {**_of_month(asdict(change)), "difference": change.difference}
            writer.writerow([output.text_of(plain[column]) for column in CSV_COLUMNS])


def shown(found: Repriced) -> Iterator[str | Group]:
    """The comparison in words and tables."""
    span = f"{found.since:%Y-%m}" + (f" to {found.until:%Y-%m}" if found.until != found.since else "")
    yield (
        f"The whole history up to the night {found.night}, rated with {', '.join(found.files.values())} as if these"
        f" prices had always been known. Service months {span}; nothing was changed."
    )
    for warning in found.warnings:
        yield f"warning: {warning}"
    yield output.table(
        "\nIn total, by currency", ("currency", "billed", "proposed", "difference", "%"),
        [
            (row["currency"], _amount(row, "billed"), _amount(row, "proposed"), _signed(row), _percent(row))
            for row in found.by("currency")
        ],
    )  # fmt: skip
    tenants = found.by("currency", "tenant_slug")
    for currency in sorted({row["currency"] for row in tenants}):
        of_currency = [row for row in tenants if row["currency"] == currency]
        for what, sign in (("Winners: they would have paid less", -1), ("Losers: they would have paid more", 1)):
            chosen = _extremes(of_currency, sign)
            if chosen:
                yield output.table(
                    f"\n{what} ({currency})", ("tenant", "billed", "proposed", "difference", "%"),
                    [
                        (row["tenant_slug"], _amount(row, "billed"), _amount(row, "proposed"), _signed(row),
                         _percent(row))
                        for row in chosen[:_MOST]
                    ],
                    caption=_rest(len(chosen)),
                )  # fmt: skip
        same = sum(row["difference"] == 0 for row in of_currency)
        yield f"{output.count(same, 'tenant')} in {currency} would have paid the same."
    yield from _items_shown(found)
    yield from _unbilled_shown(found)
    yield from _cliffs_shown(found)


def _items_shown(found: Repriced) -> Iterator[Group]:
    rows = [row for row in found.by("currency", "item_key") if row["difference"]]
    if rows:
        yield output.table(
            "\nWhere it comes from", ("currency", "item", "billed", "proposed", "difference"),
            [
                (row["currency"], row["item_key"], _amount(row, "billed"), _amount(row, "proposed"), _signed(row))
                for row in rows
            ],
        )  # fmt: skip


def _unbilled_shown(found: Repriced) -> Iterator[Group]:
    rows = _unbilled(found.changes)
    if rows:
        yield output.table(
            "\nBilled so far, without a price under the proposal: these units would not be billed",
            ("tenant", "item", "month", "units billed", "units under the proposal", "amount billed", "currency"),
            [
                (c.tenant_slug, c.item_key, f"{c.month:%Y-%m}", money.plain(c.units_billed),
                 money.plain(c.units_proposed), money.written(c.billed, c.currency), c.currency)
                for c in rows[:_MOST]
            ],
            caption=_rest(len(rows)),
        )  # fmt: skip


def _cliffs_shown(found: Repriced) -> Iterator[str | Group]:
    if not found.cliffs:
        yield "Volume tiers: no cliff next to any tenant's usage."
        return
    rows = []
    for cliff in found.cliffs[:_MOST]:
        near = cliff.units_to_bound
        where = f"{money.plain(near)} below" if near >= 0 else f"{money.plain(-near)} past"
        rows.append((
            cliff.tenant_slug, cliff.item_key, f"{cliff.month:%Y-%m}", cliff.price_book, money.plain(cliff.units),
            f"{where} {money.plain(cliff.bound)}", _exact(cliff.at_bound), _exact(cliff.past_bound),
            _exact(cliff.one_unit_past), f"{cliff.kind} by {_exact(abs(cliff.step))} {cliff.currency}",
        ))  # fmt: skip
    yield output.table(
        "\nCliffs of volume tiers, nearest first",
        ("tenant", "item", "month", "price book", "billable units", "how near", "total at the bound",
         "just past it", "one unit past it", "past it the total"),
        rows, caption=_rest(len(found.cliffs)),
    )  # fmt: skip


def _extremes(rows: Iterable[dict[str, Any]], sign: int) -> list[dict[str, Any]]:
    """The rows whose difference has a sign, the largest first."""
    return sorted((row for row in rows if row["difference"] * sign > 0), key=lambda row: row["difference"] * -sign)


def _of_month(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "month": f"{row['month']:%Y-%m}"}


def _amount(row: dict[str, Any], column: str) -> str:
    return money.written(row[column], row["currency"])


def _signed(row: dict[str, Any]) -> str:
    return money.signed(row["difference"], row["currency"])


def _percent(row: dict[str, Any]) -> str:
    if not row["billed"]:
        return "-"
    return f"{row['difference'] * 100 / row['billed']:+.1f}"


def _exact(amount: Decimal) -> str:
    text = f"{amount.quantize(Decimal('0.000001'), ROUND_CEILING, money.EXACT):,f}".rstrip("0")
    return text + "0" * max(0, 2 - len(text.split(".")[1])) if "." in text else text


def _rest(number: int) -> str | None:
    return f"and {number - _MOST:,} more; --json and --csv have all" if number > _MOST else None

"""What the clerk reads: source rows as text, each with the night from which it is known, and those refused at the door.

No prices and no money here: only reading, references, row rules and versions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction

BEGINNING = date(1, 1, 1)
MODELS = ("per_unit", "graduated", "volume", "package")
_LISTED = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE
CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW
KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK
PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS
UAH USD UYU UZS VES WST XCD YER ZAR ZMW
"""
TWO_DECIMALS = tuple(_LISTED.split())
WHOLE_ONLY = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF")
)
CURRENCIES = WHOLE_ONLY.union(TWO_DECIMALS, ["OWN"])


@dataclass(frozen=True)
class Arrived:
    """A row of a source file as its text says, and the night that accepted its file."""

    table: str
    values: Mapping[str, str]
    night: date


@dataclass(frozen=True)
class Refused:
    """A row that does not count, by the name of the rule."""

    table: str
    key: str
    rule: str


@dataclass(frozen=True)
class Known:
    """A row that counts, from a night on; versions of one key are told apart by when they were received."""

    values: Mapping[str, str]
    since: date
    received: datetime
    refused: bool = False

    def __getitem__(self, column: str) -> str:
        return self.values.get(column, "")


@dataclass(frozen=True)
class Event:
    """A usage event that passed the row rules."""

    tenant: str
    number: str
    driver: str
    quantity: Fraction
    occurred: datetime
    received: datetime
    cancels: str
    since: date

    @property
    def day(self) -> date:
        return self.occurred.date()

    @property
    def month(self) -> date:
        return self.day.replace(day=1)

    @property
    def content(self) -> tuple[object, ...]:
        return (self.driver, self.quantity, self.occurred, self.cancels)


def moment(text: str) -> datetime:
    """A time as sources write it; without an offset it is UTC."""
    return datetime.fromisoformat(text.removesuffix("Z"))


def day_of(text: str) -> date:
    """A date, or the end of time if there is none."""
    return date.fromisoformat(text) if text else date.max


def number(text: str) -> Fraction | None:
    """An exact number, or nothing if it is none, or has more than six decimals."""
    try:
        value = Fraction(text)
    except ValueError:
        return None
    return value if (value * 10**6).denominator == 1 and "/" not in text else None


def latest(versions: Iterable[Known], cut: date) -> Known | None:
    """The version that counts among those known at the end of a night."""
    return max((v for v in versions if v.since <= cut), key=lambda v: (v.received, v.since), default=None)


@dataclass
class Record:
    """All that ever came, by table and key, and what was refused for itself."""

    slugs: dict[str, str] = field(default_factory=dict)
    tenants_since: dict[str, date] = field(default_factory=dict)
    drivers: dict[str, list[Known]] = field(default_factory=dict)
    plans: dict[str, list[Known]] = field(default_factory=dict)
    subscriptions: dict[str, list[Known]] = field(default_factory=dict)
    books: dict[str, list[Known]] = field(default_factory=dict)
    entries: dict[str, list[Known]] = field(default_factory=dict)
    assignments: dict[tuple[str, str, str], list[Known]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    payments: list[Known] = field(default_factory=list)
    refused: list[tuple[date, Refused]] = field(default_factory=list)
    last: date = BEGINNING


def read(rows: Sequence[Arrived], nights: Sequence[date]) -> Record:
    """Sort rows into a record, as known by the last of the nights that were run."""
    return _Reader(rows, nights).record


class _Reader:
    def __init__(self, rows: Sequence[Arrived], nights: Sequence[date]) -> None:
        self.nights = sorted(nights)
        self.record = Record(last=self.nights[-1])
        self.rows: dict[str, list[Arrived]] = defaultdict(list)
        for row in rows:
            self.rows[row.table].append(row)
        self.ids: dict[str, str] = {}
        self._tenants()
        self.record.drivers = self._versions("cost_drivers", "driver_key")
        self.record.plans = self._versions("plans", "name")
        self.record.books = self._versions("price_books", "name")
        self._entries()
        self._assignments()
        self._subscriptions()
        for row in self.rows["usage_events"]:
            self._event(row)
        for row in self.rows["payments"]:
            self.record.payments.append(self._known(row, "paid_at"))

    def _since(self, row: Arrived, event_time: str = "") -> date:
        told = row.values.get("received_at") or row.values.get(event_time, "")
        if not told:
            return BEGINNING if row.night == self.nights[0] else row.night
        done = [night for night in self.nights if night < row.night]
        day = moment(told).date()
        return row.night if done and day <= done[-1] else day

    def _known(self, row: Arrived, event_time: str = "", *, after: date = BEGINNING, refused: bool = False) -> Known:
        told = row.values.get("received_at") or row.values.get(event_time, "")
        # A row without a time was received when its file came; what came first was always there.
        received = moment(told) if told else datetime.combine(self._since(row), datetime.min.time())
        return Known(row.values, max(self._since(row, event_time), after), received, refused)

    def _versions(self, table: str, key: str) -> dict[str, list[Known]]:
        found: dict[str, list[Known]] = defaultdict(list)
        for row in self.rows[table]:
            found[row.values[key]].append(self._known(row))
        return dict(found)

    def _tenants(self) -> None:
        for identity, versions in self._versions("tenants", "id").items():
            first = min(versions, key=lambda v: (v.since, v.received))
            self.record.slugs[identity] = first["slug"]
            self.record.tenants_since[identity] = first.since
            self.ids[identity] = self.ids[first["slug"]] = identity

    def _refuse(self, row: Arrived, key: str, rule: str) -> None:
        self.record.refused.append((self._since(row, "occurred_at"), Refused(row.table, row.values[key], rule)))

    def _tenant(self, row: Arrived) -> str | None:
        identity = self.ids.get(row.values["tenant_id"])
        return identity if identity and self.record.tenants_since[identity] <= self.record.last else None

    def _entries(self) -> None:
        found: dict[str, list[Known]] = defaultdict(list)
        for row in self.rows["price_entries"]:
            books = self.record.books.get(row.values["price_book"], [])
            if books:
                after = min(v.since for v in books)
                found[row.values["id"]].append(self._known(row, after=after, refused=not _is_price(row.values)))
        self.record.entries = dict(found)

    def _assignments(self) -> None:
        found: dict[tuple[str, str, str], list[Known]] = defaultdict(list)
        for row in self.rows["price_book_assignments"]:
            tenant = self._tenant(row)
            if tenant and day_of(row.values["valid_to"]) >= day_of(row.values["valid_from"]):
                after = self.record.tenants_since[tenant]
                found[tenant, row.values["price_book"], row.values["valid_from"]].append(self._known(row, after=after))
        self.record.assignments = dict(found)

    def _subscriptions(self) -> None:
        found: dict[str, list[Known]] = defaultdict(list)
        for row in self.rows["subscriptions"]:
            tenant = self._tenant(row)
            broken = {
                "unknown_tenant": tenant is None,
                "unknown_currency": row.values["currency"] not in CURRENCIES,
                "ends_before_start": day_of(row.values["ended_on"]) < day_of(row.values["started_on"]),
            }
            for rule in (rule for rule, failed in broken.items() if failed):
                self._refuse(row, "id", rule)
            if tenant and not any(broken.values()):
                full = Arrived(row.table, {**row.values, "tenant_id": tenant}, row.night)
                found[row.values["id"]].append(self._known(full, after=self.record.tenants_since[tenant]))
        self.record.subscriptions = dict(found)

    def _event(self, row: Arrived) -> None:
        values = row.values
        tenant = self._tenant(row)
        drivers = [v.since for v in self.record.drivers.get(values["driver_key"], []) if v.since <= self.record.last]
        quantity = number(values["quantity"])
        occurred, received = moment(values["occurred_at"]), moment(values["received_at"])
        cancels = values["cancels_event_id"]
        broken = {
            "unknown_tenant": tenant is None,
            "unknown_driver": not drivers,
            "bad_quantity": not cancels and (quantity is None or quantity < 0),
            "future_event": occurred > received + timedelta(days=1),
        }
        for rule in (rule for rule, failed in broken.items() if failed):
            self._refuse(row, "event_id", rule)
        if tenant and not any(broken.values()):
            since = max(self._since(row, "occurred_at"), self.record.tenants_since[tenant], min(drivers))
            self.record.events.append(
                Event(tenant, values["event_id"], values["driver_key"], quantity or Fraction(0), occurred, received,
                      cancels, since)
            )  # fmt: skip


def _is_price(values: Mapping[str, str]) -> bool:
    model = values["pricing_model"]
    told = {
        column: number(values[column] or "0") for column in ("unit_price", "flat_fee", "package_size", "free_units")
    }
    if any(value is None or value < 0 for value in told.values()) or values["unit_price"] == "":
        return False
    bound = number(values["tier_up_to"] or "1")
    return (
        model in MODELS
        and bound is not None
        and bound > 0
        and (not told["flat_fee"] or model in ("graduated", "volume"))
        and (model != "package" or bool(told["package_size"]))
        and day_of(values["valid_to"]) >= day_of(values["valid_from"])
    )

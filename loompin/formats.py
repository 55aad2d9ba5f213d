"""What each format of the contracts means: SQL expressions that turn a file's text into a typed value.

`typed` gives the value, or NULL where the text does not fit; a text that is no value (`NULL`, empty) is NULL too, and
`missing` tells the two apart. Design section 4 fixes the meanings. How files are read is in `landing`.

Most texts fit as they stand. So each value is one `case`: a cheap test that only well-formed text passes, then the
cleaned text and the whole pattern for what is left. Every expression gives NULL rather than an error, whatever the
text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from loompin.contracts import Column
from loompin.sqltext import literal

_TEXTS = ("text", "id", "quoted")
_DIGITS = "[0-9]+([.][0-9]*)?|[.][0-9]+"


@dataclass(frozen=True)
class Hints:
    """What the texts of a file are known not to hold, so that expressions need not look for it.

    `nulls_read`: a text that is exactly empty or `NULL` has been read as NULL already.
    """

    no_backtick: bool = False
    no_quote: bool = False
    nulls_read: bool = False


NOTHING_KNOWN = Hints()


def typed(text: str, column: Column, hints: Hints = NOTHING_KNOWN) -> str:
    """SQL for the typed value of a text; NULL where there is none or it does not fit.

    Args:
        text: SQL of the text as it stands in the file.
        column: the column that it is for.
        hints: what the file's texts are known not to hold.
    """
    if column.format == "text":
        return clean(text, column, hints)
    if column.format in _TEXTS:
        cleaned = clean(text, column, hints)
        return f"case when {_plain(text, hints)} then {text} else {cleaned} end" if hints.nulls_read else cleaned
    if column.format == "json" and not hints.no_backtick:
        # JSON is valid with backticks in it, so they are removed first.
        return f"try({_thorough(column, clean(text, column, hints))})"
    if column.format == "double" and hints.no_backtick:
        # The cast itself passes over blanks.
        return f"try_cast({text} as double)"
    cleaned = clean(text, column, hints)
    return f"case {_fast(column, text)} when {text} is not null then try({_thorough(column, cleaned)}) end"


def clean(text: str, column: Column, hints: Hints = NOTHING_KNOWN) -> str:
    """SQL for the text of a value: backticks and the quotes that the format knows are removed; NULL for no value."""
    cleaned = text if hints.no_backtick else f"replace({text}, '`', '')"
    if column.format != "text":
        cleaned = f"trim({cleaned})"
    if column.format == "text" and hints.no_backtick and hints.nulls_read:
        return cleaned
    cleaned = f"nullif(nullif({cleaned}, ''), 'NULL')"
    if column.format == "id" and not hints.no_quote:
        # A quote at one end without its pair at the other.
        first, last = f"""prefix({cleaned}, '"')""", f"""suffix({cleaned}, '"')"""
        unpaired = f"{first} <> {last} or {cleaned} = '\"'"
        return f"""case when {unpaired} then nullif(trim({cleaned}, '"'), '') else {cleaned} end"""
    if column.format == "quoted" and not hints.no_quote:
        inside = f"nullif(substr({cleaned}, 2, length({cleaned}) - 2), '')"
        return f"""case when regexp_full_match({cleaned}, '(?s)".*"') then {inside} else {cleaned} end"""
    return cleaned


def missing(text: str, column: Column, hints: Hints = NOTHING_KNOWN) -> str:
    """SQL: whether the text is no value (absent, empty, NULL)."""
    return f"({clean(text, column, hints)}) is null"


def says(column: Column) -> str:
    """What a value of the column must look like, in words."""
    if column.format == "decimal":
        precision, scale = _precision(column)
        return f"a number with at most {scale} decimals and {precision - scale} digits before them"
    return _SAYS[column.format]


def can_fail(column: Column) -> bool:
    """Whether a text may be of the wrong type at all."""
    return column.format not in _TEXTS


def needs_no_parsing(column: Column) -> bool:
    """Whether a value that has the column's type already is the value: its text is no other notation of it."""
    return column.format in ("integer", "double", "decimal", "boolean", "date", "timestamp", "time")


def unit_of(text: str, column: Column) -> str:
    """SQL for the unit that a metric's text names: usd, ratio or number."""
    return (
        f"case when {missing(text, column)} then null when contains({text}, '$') then 'usd'"
        f" when contains({text}, '%') then 'ratio' else 'number' end"
    )


_SAYS = {
    "text": "text",
    "id": "text",
    "quoted": "text",
    "integer": "a whole number such as 12",
    "double": "a number such as 0.5",
    "boolean": "true or false",
    "date": "a date such as 2026-02-01",
    "month": "a month such as 2026-03",
    "timestamp": "a timestamp such as 2026-01-15T23:59:59Z (UTC if it has no offset)",
    "time": "a time of day such as 09:00",
    "json": "valid JSON",
    "percent": "a percentage such as 45% or its ratio 0.45",
    "duration": "a duration such as 12.5s, 24ms or 12m",
    "bytes": "a size such as 1.2MB or 450KB",
    "metric": "a figure such as $1.2M, +1.2%, -2 or 1.8, with at most 6 decimals",
}


def _plain(text: str, hints: Hints) -> str:
    """SQL: whether a text of the formats id and quoted needs no cleaning, by its ends."""
    # DuckDB compares bytes: what comes before # may be a blank or a quote.
    tests = [f"{text} >= '#'", f"not suffix({text}, ' ')"]
    if not hints.no_quote:
        tests.append(f"""not suffix({text}, '"')""")
    if not hints.no_backtick:
        tests.append(f"not contains({text}, '`')")
    return " and ".join(tests)


def _fast(column: Column, x: str) -> str:
    """SQL: `when ... then ...` for texts that are plainly right; empty if no test is cheaper than the pattern."""
    if column.format == "double":
        return f"when try_cast({x} as double) is not null then try_cast({x} as double)"
    if column.format == "integer":
        cast = f"try_cast({x} as bigint)"
        return f"when cast({cast} as varchar) = {x} then {cast}"
    if column.format == "decimal":
        precision, scale = _precision(column)
        # A text that begins the fixed-point form of its value has no exponent and no more decimals than fit. Casts of
        # text to 128-bit decimals are a hundred times slower than to 64-bit ones, which hold most values.
        cast = f"try_cast({x} as decimal({min(precision, 18)},{min(scale, 18)}))"
        value = cast if precision <= 18 else f"cast({cast} as {column.data_type})"
        return f"when prefix(cast({cast} as varchar), {x}) then {value}"
    if column.format == "timestamp":
        # A plain cast drops an offset without a word, and knows words such as epoch: only digits that end in Z take it.
        return f"when suffix({x}, 'Z') and {x} >= '0' and {x} < ':' then try_cast({x} as timestamp)"
    if column.format == "boolean":
        return f"when {x} = 'true' then true when {x} = 'false' then false"
    return ""


def _thorough(column: Column, x: str) -> str:
    """SQL for the value of a cleaned text, by the whole pattern of its format."""
    kind = column.format
    if kind == "integer":
        return f"case when regexp_full_match({x}, '[+-]?[0-9]+([.]0*)?') then try_cast({x} as bigint) end"
    if kind == "double":
        return f"try_cast({x} as double)"
    if kind == "decimal":
        precision, scale = _precision(column)
        # More decimals than the scale would be rounded by the cast without a word, so the pattern refuses them.
        pattern = f"[+-]?([0-9]+([.][0-9]{{0,{scale}}}0*)?|[.][0-9]{{1,{max(scale, 1)}}}0*)"
        cast = f"try_cast({x} as {column.data_type})"
        if precision > 18 >= scale:
            cast = f"coalesce(cast(try_cast({x} as decimal(18,{scale})) as {column.data_type}), {cast})"
        return f"case when regexp_full_match({x}, '{pattern}') then {cast} end"
    if kind == "boolean":
        return f"case lower({x}) when 'true' then true when 'false' then false end"
    if kind == "date":
        midnight = "([T ]00:00(:00([.]0+)?)?(Z|[+]00(:?00)?)?)?"
        pattern = f"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{midnight}"
        return f"case when regexp_full_match({x}, '{pattern}') then try_cast(left({x}, 10) as date) end"
    if kind == "month":
        pattern = "[0-9]{4}-[0-9]{2}(-[0-9]{2})?"
        return f"case when regexp_full_match({x}, '{pattern}') then try_cast(left({x} || '-01', 10) as date) end"
    if kind == "timestamp":
        clock = "[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?"
        pattern = f"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([T ]{clock} ?(Z|UTC|[+-][0-9]{{2}}(:?[0-9]{{2}})?)?)?"
        instant = f"timezone('UTC', try_cast(replace(upper({x}), ' UTC', 'Z') as timestamptz))"
        return f"case when regexp_full_match(upper({x}), '{pattern}') then {instant} end"
    if kind == "time":
        pattern = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]+)?)?"
        return f"case when regexp_full_match({x}, '{pattern}') then try_cast({x} as time) end"
    if kind == "json":
        return f"case when json_valid({x}) then cast({x} as json) end"
    if kind == "percent":
        # 99.9 / 100 is not 0.999 in binary floating point; the product of two decimals is.
        ratio = f"cast(try_cast(rtrim({x}, '%') as decimal(24,8)) * cast(0.01 as decimal(3,2)) as double)"
        return f"case when regexp_full_match({x}, '[+-]?({_DIGITS})%') then {ratio} else try_cast({x} as double) end"
    if kind == "duration":
        units = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "": 1}
        return _scaled(x, f"({_DIGITS}) *(ms|s|m|min|h|d)?", f"regexp_extract({x}, '[a-z]*$')", units)
    if kind == "bytes":
        units = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "": 1}
        units |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
        pattern = f"(?i)({_DIGITS}) *(B|[KMGT]I?B)?"
        return _scaled(x, pattern, f"upper(regexp_extract({x}, '[A-Za-z]*$'))", units)
    if kind == "metric":
        return _metric(x)
    raise ValueError(f"{column.name}: the format {kind} is text and has no pattern")


def _scaled(x: str, pattern: str, unit: str, factors: dict[str, int]) -> str:
    number = f"try_cast(regexp_extract({x}, '^[0-9.]+') as decimal(24,9))"
    cases = " ".join(f"when {literal(name)} then {factor}" for name, factor in factors.items())
    return (
        f"case when regexp_full_match({x}, '{pattern}')"
        f" then cast(round({number} * cast(case {unit} {cases} end as decimal(14,0))) as bigint) end"
    )


def _metric(x: str) -> str:
    # At most as many decimals as the column can hold once the percentage is a ratio: nothing is rounded.
    figure = "([0-9]+([.][0-9]{0,6}0*)?|[.][0-9]{1,6}0*)"
    percentage = "([0-9]+([.][0-9]{0,4}0*)?|[.][0-9]{1,4}0*)"
    digits = f"try_cast(regexp_extract({x}, '[0-9.]+') as decimal(24,6))"
    sign = f"(case when contains({x}, '-') then -1 else 1 end)"
    factor = (
        f"cast(case when contains({x}, '%') then 0.01 when contains({x}, 'K') then 1000"
        f" when contains({x}, 'M') then 1000000 when contains({x}, 'B') then 1000000000 else 1 end as decimal(12,2))"
    )
    return (
        f"case when regexp_full_match({x}, '[+-]?([$][+-]?)?{figure}[KMB]?|[+-]?{percentage}%')"
        f" then cast({digits} * {factor} * {sign} as decimal(38,6)) end"
    )


def _precision(column: Column) -> tuple[int, int]:
    match = re.fullmatch(r"decimal\((\d+),(\d+)\)", column.data_type)
    if match is None:
        raise ValueError(f"{column.name}: {column.data_type} is not decimal(p,s)")
    return int(match[1]), int(match[2])

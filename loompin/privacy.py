"""Masking of personal data: keyed pseudonyms, and redaction of free text and JSON.

What belongs here: how a value is masked, and the key. Which columns are masked is said by the contracts; SQL reaches
these functions through `loompin.dbt_plugin`.

- A pseudonym is `p_` and 80 bits of HMAC-SHA256 in hexadecimal. Equal inputs are equal in every column and table, so
  joins and counts still work; without the key nobody can make or test one.
- Redaction puts a word in brackets where personal data stood: [email] [phone] [ip] [handle] [name]. A text without any
  is returned as it is, and redacting twice changes nothing more.
- Plain numbers, dates, times, version numbers and identifiers are no phone numbers. Names are those known in the
  text's tenant: two words and more in any case, a single word (`Tom`) only as it is written, because in any case it
  would take ordinary words with it (`will`, `may`).
"""

from __future__ import annotations

import bisect
import hmac
import ipaddress
import itertools
import json
import os
import re
import secrets
import threading
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import ahocorasick
import pyarrow as pa
import pyarrow.compute as pc

from loompin.settings import Settings

PSEUDONYM_PREFIX = "p_"
_PSEUDONYM_DIGITS = 20  # 80 bits: two of a billion values meet with a probability of one in a million
PSEUDONYM_PATTERN = f"{PSEUDONYM_PREFIX}[0-9a-f]{{{_PSEUDONYM_DIGITS}}}"

# ---------------------------------------------------------------------------------------------------------------- key


class PseudonymKeyError(Exception):
    """The key of the pseudonyms cannot be used; the message says what to do."""


def load_key(settings: Settings) -> bytes:
    """The key of the pseudonyms: from the settings, else from the home, where it is made once with mode 0600.

    Raises:
        PseudonymKeyError: the key file of the home is empty.
        OSError: the home cannot be read or written.
    """
    if settings.key is not None and settings.key.get_secret_value():
        return settings.key.get_secret_value().encode()
    file = settings.key_file
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                stream.write(secrets.token_hex(32) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            # A link fails if another process was first, and never shows half a key.
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    if file.stat().st_mode & 0o077:
        file.chmod(0o600)
    key = file.read_text(encoding="utf-8").strip()
    if not key:
        raise PseudonymKeyError(
            f"{file} is empty: put the key of the pseudonyms back, or delete the file to have a new one made (all "
            "pseudonyms change then)"
        )
    return key.encode()


def pseudonymiser(key: bytes) -> Callable[[str], str]:
    """The function from a value to its pseudonym under this key."""
    if not key:
        raise ValueError("an empty key would make pseudonyms that anybody can reproduce")

    def pseudonym(value: str) -> str:
        digest = hmac.digest(key, value.encode("utf-8", "surrogatepass"), "sha256")
        return PSEUDONYM_PREFIX + digest.hex()[:_PSEUDONYM_DIGITS]

    return pseudonym


# ---------------------------------------------------------------------------------------------------------- patterns

_TOKEN = re.compile(r"\[(?:email|phone|ip|handle|name)\]")

_AT = "@\uff20\ufe6b"
_SPACE = " \t\u00a0\u2007\u2009\u202f"
_DASH = r"\-\u2010-\u2015\u2212"
_SEPARATOR = rf"[{_SPACE}{_DASH}().\/]"

# Nothing is looked at more closely unless one of these is in the text: most texts end here.
_DIGIT = re.compile(r"\d")
_MAY_HOLD_PHONE = re.compile(rf"\d(?:{_SEPARATOR}{{0,3}}\d){{6}}")
_MAY_HOLD_IP = re.compile(r"[0-9]\.[0-9]{1,3}\.[0-9]|:[0-9A-Fa-f]{0,4}:")

_EMAIL_LEFT = re.compile(r"\w[^\s@\uff20\ufe6b<>()\[\],;:\"/=?&]*\Z")
_EMAIL_RIGHT = re.compile(r"(?:[\w-]+(?:\.[\w-]+)+|[\w-]*(?:\.{2,}|\u2026)|[\w-]+|\[[^\]\s]{1,80}\])")
_EMAIL_LOOK_BACK = 256
_HANDLE = re.compile(rf"\w+(?:[.-]\w+)*(?:[{_AT}]\w+(?:[.-]\w+)*)?")
_NO_HANDLE = re.compile(r"[\d.]+(?:am|pm|[kKmM%])?", re.IGNORECASE)

_IPV4 = re.compile(r"(?<![^\W_])(?<!\d\.)(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![^\W_])(?!\.[0-9])")
_IPV6 = re.compile(
    r"(?<![^\W_])(?<![:.])(?=[0-9A-Fa-f:]*:[0-9A-Fa-f]*:)[0-9A-Fa-f:]{2,39}(?:(?<=:)(?:[0-9]{1,3}\.){3}[0-9]{1,3})?"
    r"(?![^\W_])(?!:)(?!\.[0-9])(?:%\w{1,15})?"
)

_DATE = re.compile(
    r"(?<![^\W_])(?:"
    r"(?:19|20)\d\d([-/.])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])([-/.])(?:0?[1-9]|1[0-2])\2(?:19|20)?\d\d"
    r"|(?:0?[1-9]|1[0-2])([-/.])(?:0?[1-9]|[12]\d|3[01])\3(?:19|20)?\d\d"
    rf")(?!\d)(?![{_DASH}./]\d)"
)

_EXTENSION = r"(?:[ ]?(?:x|ext\.?|#)[ ]?\d{1,6})?"
_BEFORE = rf"(?<![^\W_])(?<!\w[{_DASH}])(?<!\d[.,/:+])"
_AFTER = rf"(?![^\W_])(?![{_DASH}/]\w)(?![.,:]\d)"


class _Phone(NamedTuple):
    pattern: re.Pattern[str]
    digits: range


_PHONES = (
    # +15551234567
    _Phone(re.compile(rf"(?<![^\W_])(?<!\+)\+\d{{8,15}}{_EXTENSION}(?![^\W_])"), range(8, 22)),
    # +44 20 7946 0958, +1 (555) 123-4567, 0044 20 7946 0958
    _Phone(
        re.compile(rf"(?<![^\W_])(?<!\+)\+[{_SPACE}]?\(?\d(?:{_SEPARATOR}{{0,3}}\d){{7,14}}{_EXTENSION}(?![^\W_])"),
        range(8, 22),
    ),
    _Phone(re.compile(rf"{_BEFORE}00[1-9](?:{_SEPARATOR}{{0,3}}\d){{8,14}}{_EXTENSION}{_AFTER}"), range(11, 24)),
    # 020 7946 0958, (0)30 1234567, 06 12 34 56 78, 07700900123
    _Phone(re.compile(rf"{_BEFORE}\(?0[1-9](?:{_SEPARATOR}{{0,2}}\d){{7,10}}{_EXTENSION}{_AFTER}"), range(9, 19)),
    # (555) 123-4567, 555-123-4567, 1.555.123.4567, 555 123 4567
    _Phone(
        re.compile(
            rf"{_BEFORE}(?:1[{_SPACE}{_DASH}.]?)?(?:\(\d{{3}}\)[{_SPACE}]?|\d{{3}}[{_SPACE}{_DASH}.])"
            rf"\d{{3}}[{_SPACE}{_DASH}.]\d{{4}}{_EXTENSION}{_AFTER}"
        ),
        range(10, 18),
    ),
    # (089) 123456, (555) 1234567
    _Phone(
        re.compile(rf"{_BEFORE}\(\d{{2,5}}\)[{_SPACE}]?\d{{3,4}}[{_SPACE}{_DASH}.]?\d{{3,4}}{_EXTENSION}{_AFTER}"),
        range(8, 19),
    ),
    # 123-45-6789, 20-7946-0958, 98765-43210
    _Phone(re.compile(rf"{_BEFORE}\d{{2,5}}(?:[{_DASH}]\d{{2,5}}){{1,3}}[{_DASH}]\d{{3,5}}{_AFTER}"), range(9, 13)),
    _Phone(re.compile(rf"{_BEFORE}[6-9]\d{{4}}[{_SPACE}{_DASH}]\d{{5}}{_AFTER}"), range(10, 11)),
)
# 555-0123; 200-1000 is a range
_LOCAL_PHONE = re.compile(rf"{_BEFORE}([2-9]\d\d)[{_DASH}](\d{{4}}){_AFTER}")
# After such a word even plain digits are a phone number.
_ANNOUNCED_PHONE = re.compile(
    r"(?<!\[)\b(?:tel|telephone|phone|call|dial|fax|whatsapp|mobile|cell)\b"
    r"(?:[^\w\n+]{1,3}(?:me|us|back|at|on|is|no|nr|number|under))*[^\w\n]{1,3}"
    rf"(\d(?:{_SEPARATOR}{{0,2}}\d){{6,14}}){_AFTER}",
    re.IGNORECASE,
)
_PHONE_WORDS = ("phone", "whatsapp", "msisdn", "tel", "mobile", "cell", "fax")
_PHONE_KEY = re.compile(r"(?i:phone|whatsapp|msisdn)|(?<![A-Za-z])(?i:tel|mobile|cell|fax)(?![a-z])")
_PHONE_VALUE = re.compile(rf"\+?\(?\d(?:{_SEPARATOR}{{0,3}}\d){{6,14}}{_EXTENSION}")
_JSON_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_JSON_AFTER_KEY = re.compile(r"\s*:\s*")
_JSON_INTEGER = re.compile(r"\d{7,15}(?=\s*[,}\]])")

_SPACES = re.compile(r"\s+")

# Without any of these a text holds nothing but, perhaps, names whose words one space parts. Written for RE2.
_LOOK_CLOSER = r"[@:0-9]|  |[^ -~]"


class _Span(NamedTuple):
    start: int
    end: int
    word: str


# ------------------------------------------------------------------------------------------------------------- names


class KnownName(NamedTuple):
    """A person's name and the tenant that it is known in; without one it is known everywhere."""

    name: str
    tenant: str | None = None


class _Entry:
    """One known name: the tenants that know it (None: all do), by how it is written there.

    A name of several words counts however it is written: all of its tenants stand under one spelling.
    """

    __slots__ = ("length", "spellings")

    def __init__(self, length: int) -> None:
        self.length = length
        self.spellings: dict[str, set[str | None]] = {}


def _lower(text: str) -> str:
    """Lower case that keeps every character in its place (a dotted capital I would become two)."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(low if len(low := char.lower()) == 1 else char for char in text)


def _continues_word(char: str) -> bool:
    """Whether a name that touches this character is part of a longer word; scripts without spaces have none."""
    if char.isalnum():
        return not "\u3040" <= char <= "\u9fff"
    return unicodedata.combining(char) != 0


_ANY_SPELLING = ""


class _Names:
    """The known names as one automaton, which finds all of them in one pass over a text."""

    def __init__(self, names: Iterable[KnownName]) -> None:
        entries: dict[str, _Entry] = {}
        for name, tenant in names:
            written = " ".join((name or "").split())
            if len(written) < 2 or not any(char.isalpha() for char in written):
                continue
            for form in {unicodedata.normalize("NFC", written), unicodedata.normalize("NFD", written)}:
                entry = entries.setdefault(_lower(form), _Entry(len(form)))
                entry.spellings.setdefault(_ANY_SPELLING if " " in form else form, set()).add(tenant)
        self._automaton = None
        if entries:
            self._automaton = ahocorasick.Automaton()
            for lowered, entry in entries.items():
                self._automaton.add_word(lowered, entry)
            self._automaton.make_automaton()

    def find(self, text: str, tenant: str | None) -> list[_Span]:
        """The spans of names in the text, which may overlap."""
        if self._automaton is None:
            return []
        if text.isprintable() and "  " not in text:
            return [_Span(start, end, "[name]") for start, end in self._find(text, tenant)]
        # A name may be broken over lines or by several spaces: look in the text with single ones, and map back.
        pieces: list[str] = []
        places: list[int] = []
        end = 0
        for match in _SPACES.finditer(text):
            pieces += (text[end : match.start()], " ")
            places += range(end, match.start() + 1)
            end = match.end()
        pieces.append(text[end:])
        places += range(end, len(text))
        found = self._find("".join(pieces), tenant)
        return [_Span(places[start], places[stop - 1] + 1, "[name]") for start, stop in found]

    def among(self, texts: Sequence[str]) -> set[int]:
        """The places of the texts in which a name of any tenant may stand: all texts in one pass."""
        if self._automaton is None:
            return set()
        ends = list(itertools.accumulate(len(text) + 1 for text in texts))
        joined = _lower("\0".join(texts))
        return {bisect.bisect_right(ends, last) for last, _ in self._automaton.iter(joined)}

    def _find(self, text: str, tenant: str | None) -> list[tuple[int, int]]:
        found = []
        for last, entry in self._automaton.iter(_lower(text)):  # type: ignore[union-attr]
            end = last + 1
            start = end - entry.length
            knowing = entry.spellings.get(_ANY_SPELLING) or entry.spellings.get(text[start:end])
            if knowing is None or not (tenant is None or tenant in knowing or None in knowing):
                continue
            if start > 0 and _continues_word(text[start - 1]) and _continues_word(text[start]):
                continue
            if end < len(text) and _continues_word(text[end]) and _continues_word(text[last]):
                continue
            found.append((start, end))
        return found


# --------------------------------------------------------------------------------------------------------- redaction


class Redactor:
    """Redacts free text and JSON of one warehouse, whose names it knows.

    `names` is read when the first text is redacted, once. A redactor may be used from several threads.
    """

    def __init__(self, names: Callable[[], Iterable[KnownName]] | Iterable[KnownName] = ()) -> None:
        self._source = names
        self._names: _Names | None = None
        self._lock = threading.Lock()

    def _known(self) -> _Names:
        if self._names is None:
            with self._lock:
                if self._names is None:
                    source = self._source
                    self._names = _Names(source() if callable(source) else source)
        return self._names

    def text(self, text: str, tenant: str | None = None) -> str:
        """The text without personal data. Without a tenant the names known in any tenant count."""
        while True:
            redacted = self._once(text, tenant)
            if redacted == text:
                return text
            # What stood beside a replaced part may be recognised now. It ends: each round leaves less to replace.
            text = redacted

    def changes(self, texts: Sequence[str], tenants: Sequence[str | None]) -> dict[int, str]:
        """Of many texts those that redaction changes, redacted, by their place.

        Most texts hold nothing to redact, which a look at all of them together tells sooner than one at each.
        """
        near = self._known().among(texts)
        flags = pc.match_substring_regex(pa.array(texts, pa.string()), _LOOK_CLOSER)
        near.update(pc.indices_nonzero(flags).to_pylist())
        redacted = {place: self.text(texts[place], tenants[place]) for place in near}
        return {place: text for place, text in redacted.items() if text != texts[place]}

    def _once(self, text: str, tenant: str | None) -> str:
        spans = _contacts(text) + self._known().find(text, tenant)
        return _replace(text, spans) if spans else text

    def json(self, text: str, tenant: str | None = None) -> str:
        """The JSON text with its strings, keys included, redacted; all else stays as it is written, byte for byte.

        A number under a key such as `phone` becomes the string "[phone]". Keys that become equal are numbered. What is
        not JSON is redacted as text.
        """
        lowered = text.lower()
        plain = "\\" not in text and not any(word in lowered for word in _PHONE_WORDS)
        if plain and self._once(text, tenant) == text:
            return text
        try:
            json.loads(text)
        except ValueError:
            return self.text(text, tenant)
        pieces: list[str] = []
        keys: dict[str, int] = {}
        end = 0
        value_is_phone = False
        for match in _JSON_STRING.finditer(text):
            if match.start() < end:  # within what was replaced already
                continue
            value = json.loads(match.group())
            after = _JSON_AFTER_KEY.match(text, match.end())
            redacted = self.text(value, tenant)
            if after is None and value_is_phone and _PHONE_VALUE.fullmatch(value.strip()):
                redacted = "[phone]"
            if redacted != value:
                if after is not None:
                    keys[redacted] = keys.get(redacted, 0) + 1
                    if keys[redacted] > 1:
                        redacted = f"{redacted} {keys[redacted]}"
                pieces += (text[end : match.start()], _json_string(redacted))
                end = match.end()
            value_is_phone = after is not None and _PHONE_KEY.search(value) is not None
            if after is not None and value_is_phone:
                number = _JSON_INTEGER.match(text, after.end())
                if number is not None:
                    pieces += (text[end : number.start()], '"[phone]"')
                    end = number.end()
        return "".join((*pieces, text[end:])) if pieces else text


def _json_string(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write and UTF-8 cannot
        return json.dumps(value)
    return json.dumps(value, ensure_ascii=False)


class _Taken:
    """Parts of a text that do not overlap, in order; tells in logarithmic time whether another part meets one."""

    def __init__(self, parts: Iterable[tuple[int, int]]) -> None:
        pairs = list(parts)
        self._starts = [start for start, _ in pairs]
        self._ends = [end for _, end in pairs]

    def meet(self, start: int, end: int) -> bool:
        before = bisect.bisect_left(self._starts, end) - 1
        return before >= 0 and self._ends[before] > start


def _replace(text: str, spans: list[_Span]) -> str:
    """The text with the spans replaced, save what replaces something already."""
    tokens = _Taken(match.span() for match in _TOKEN.finditer(text))
    pieces: list[str] = []
    end = 0
    for span in _without_overlap([span for span in spans if not tokens.meet(span.start, span.end)]):
        pieces += (text[end : span.start], span.word)
        end = span.end
    pieces.append(text[end:])
    return "".join(pieces)


def _without_overlap(spans: list[_Span]) -> list[_Span]:
    """Of spans that overlap the first counts, then the longest; if they interlock, all of it goes under its word."""
    chosen: list[_Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if not chosen or span.start >= chosen[-1].end:
            chosen.append(span)
        elif span.end > chosen[-1].end:
            chosen[-1] = _Span(chosen[-1].start, span.end, chosen[-1].word)
    return chosen


def _contacts(text: str) -> list[_Span]:
    """The spans of e-mail addresses, handles, IP addresses and phone numbers."""
    spans: list[_Span] = []
    if "@" in text or not text.isascii():
        spans += _addresses(text)
    if ":" not in text and _DIGIT.search(text) is None:
        return spans
    if _MAY_HOLD_IP.search(text) is not None:
        spans += _ips(text)
    if _MAY_HOLD_PHONE.search(text) is not None:
        spans += _phones(text)
    return spans


def _addresses(text: str) -> list[_Span]:
    spans: list[_Span] = []
    done = 0
    for match in re.finditer(rf"[{_AT}]", text):
        at = match.start()
        if at < done:
            continue
        left = _EMAIL_LEFT.search(text, max(done, at - _EMAIL_LOOK_BACK), at)
        right = _EMAIL_RIGHT.match(text, at + 1)
        if left is not None and right is not None and _is_domain(right.group()):
            spans.append(_Span(left.start(), right.end(), "[email]"))
            done = right.end()
        elif at == 0 or not text[at - 1].isalnum():
            handle = _HANDLE.match(text, at + 1)
            if handle is not None and _NO_HANDLE.fullmatch(handle.group()) is None:
                spans.append(_Span(at, handle.end(), "[handle]"))
                done = handle.end()
    return spans


def _is_domain(domain: str) -> bool:
    """`3@5.99` is a price, not an address."""
    if any(char.isalpha() for char in domain) or domain[0] == "[" or domain[-1] in ".\u2026":
        return True
    return _IPV4.fullmatch(domain) is not None


def _ips(text: str) -> list[_Span]:
    spans = [
        _Span(match.start(), match.end(), "[ip]")
        for match in _IPV4.finditer(text)
        if all(int(part) < 256 for part in match.group().split("."))
    ]
    if text.count(":") > 1:
        for match in _IPV6.finditer(text):
            try:
                address = ipaddress.IPv6Address(match.group())
            except ValueError:
                continue
            if int(address):  # `::` alone is punctuation
                spans.append(_Span(match.start(), match.end(), "[ip]"))
    return spans


def _phones(text: str) -> list[_Span]:
    dates = _Taken(match.span() for match in _DATE.finditer(text))
    found = [
        match.span()
        for pattern, digits in _PHONES
        for match in pattern.finditer(text)
        if sum(char.isdigit() for char in match.group()) in digits
    ]
    found += [
        match.span()
        for match in _LOCAL_PHONE.finditer(text)
        if not (match.group(1)[-1] == "0" and match.group(2)[-1] == "0")
    ]
    found += [match.span(1) for match in _ANNOUNCED_PHONE.finditer(text)]
    return [_Span(start, end, "[phone]") for start, end in found if not dates.meet(start, end)]

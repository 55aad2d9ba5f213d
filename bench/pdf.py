"""1,000 invoice PDFs beside one Typst document with the same 1,000 invoices on its pages.

The reference compiles the same template over the same data in one go: one start, one set of fonts, one file. The PDFs
are read from a published file, compiled one by one on all cores, synced and put in place. Each invoice has 12 lines.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path

import duckdb
import noto_cjk_sans_otc
import typst

from loompin import invoice_pdfs, reading
from loompin.settings import Settings

INVOICES = 1_000
LINES = 12
ROUNDS = 3

_BOOK = f"""
    create table invoices as
        select 'INV-24-' || (10000 + i) as id, 'tenant_' || i as tenant_id, date '2026-02-01' as date,
            cast({LINES} * (i + 0.25) as decimal(18, 2)) as amount, 'Pending' as status, 'tenant_' || i as tenant_slug,
            'USD' as currency, date '2026-03-03' as due_date, '2026-02' as period
        from range({INVOICES}) as r (i);
    create table invoice_recipients as
        select id as invoice_id, tenant_id, tenant_slug, 'Tenant ' || id as name from invoices;
    create table credit_notes (id varchar, invoice_id varchar, amount decimal(18, 2));
    create table invoice_line_tiers (line_id varchar, tier bigint);
    create table invoice_lines as
        select i.id || '/' || n as line_id, i.id as invoice_id, 'usage' as line_type, 'driver.' || n as item_key,
            date '2026-01-01' as service_from, date '2026-02-01' as service_to,
            cast(n * 1000 + 0.5 as decimal(38, 6)) as quantity, cast(0.0006 as decimal(18, 6)) as unit_price,
            cast(i.amount / {LINES} as decimal(18, 2)) as amount, i.currency, 'Standard' as price_book,
            'entry' as price_entry_id, cast(null as varchar) as corrects_line_id
        from invoices as i, range({LINES}) as r (n)"""


def run(report: Callable[..., None]) -> None:
    """Measure and report the ratio."""
    ours, plain, size = [], [], 0
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="loompin-bench-") as folder:
            settings = Settings(home=Path(folder) / "home")
            settings.prepare()
            with contextlib.closing(duckdb.connect(str(settings.published))) as connection:
                connection.execute(_BOOK)
            # In a process of its own: what Typst remembers of a thousand pages would slow down what follows.
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                plain.append(process.submit(_one_document, settings, Path(folder)).result())
            started = time.perf_counter()
            made = invoice_pdfs.make(settings)
            ours.append(time.perf_counter() - started)
            size = made.bytes
            if made.count != INVOICES:
                raise SystemExit(f"{made.count} of {INVOICES} PDFs were made")
    report(
        f"{INVOICES:,} invoice PDFs of {LINES} lines, each a file of its own ({size >> 20} MB)",
        min(ours),
        "the same invoices as one document",
        min(plain),
        2.0,
        "fonts and metadata stand in each PDF",
    )


def _one_document(settings: Settings, folder: Path) -> float:
    wanted = invoice_pdfs.missing(settings)
    with reading.published(settings) as connection:
        content = [invoice_pdfs.document(invoice) for invoice in invoice_pdfs.read(connection, wanted)]
    (folder / "all.json").write_text(json.dumps(content), encoding="utf-8")
    template = invoice_pdfs.TEMPLATE.read_text(encoding="utf-8")
    template = template.replace("#let invoice = json(bytes(sys.inputs.invoice))\n", "")
    template = re.sub(r"#set document\(.*?\n\)\)\n", "", template, flags=re.DOTALL)
    source = folder / "all.typ"
    source.write_text(
        '#set document(title: "all", date: datetime(year: 2026, month: 2, day: 1))\n'
        f"#let page-of(invoice) = [\n{template}\n]\n"
        '#for invoice in json("all.json") { page-of(invoice) }\n',
        encoding="utf-8",
    )
    fonts = typst.Fonts(include_system_fonts=False, font_paths=[str(Path(noto_cjk_sans_otc.__file__).parent)])
    started = time.perf_counter()
    typst.compile(
        str(source), output=str(folder / "all.pdf"), root=str(folder), font_paths=fonts, pdf_standards=["a-2a"],
        timestamp=int(time.mktime(date(2026, 2, 1).timetuple())),
    )  # fmt: skip
    return time.perf_counter() - started

"""The command line: parses a call, shows what comes of it, and ends with the right status.

What a night, a check or an explanation is stands elsewhere in `loompin`; Dagster is imported by the one command that
runs it. Heavy imports stand in the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loompin import telemetry

telemetry.disable()

if TYPE_CHECKING:
    from dagster import DagsterEvent

    from loompin.night import NightPlan
    from loompin.progress import Progress
    from loompin.scratch import Derive, Scratch
    from loompin.settings import Settings

_STATUSES = (
    "Ends with 0 if all is well (quarantined rows included), 1 if the work could not be completed, 2 if the call was"
    " wrong."
)

app = typer.Typer(
    name="loompin",
    help="Loompin's analytics warehouse: run a night, look at it, query what it published.\n\n"
    "**Close a month**: the night of the first of the next month makes its invoices final. `loompin check` (would"
    " anything stop it?), `loompin nightly --date 2026-02-01` (bills January; run when that day has ended), then"
    " `loompin status` (what is owed, what is not billed and why). Whatever comes later is an adjustment on the next"
    " invoice.\n\n"
    "**Explain an invoice**: `loompin explain invoice INV-24-002`, down to its usage events;"
    " `loompin reproduce INV-24-002` derives it again from the record.\n\n"
    "**Try a price change**: `loompin reprice --price-entries proposed.csv --from 2026-01 --to 2026-03` shows who would"
    " have paid more or less, and changes nothing.",
    epilog="Settings come from the environment or .env: LOOMPIN_SOURCE (source folder, default seeds/), LOOMPIN_HOME"
    " (all that a run writes, default data/), LOOMPIN_KEY (secret of the pseudonyms; made in the home if unset). "
    + _STATUSES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
explain_app = typer.Typer(
    rich_markup_mode="markdown",
    help="Explain a published figure down to what it is made of.",
    epilog="Examples: loompin explain invoice INV-24-002 --events; loompin explain driver 'Shipping Speed';"
    " loompin explain segment 'Churn Risks'; loompin explain score Support",
    no_args_is_help=True,
)
app.add_typer(explain_app, name="explain")

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel="Trouble")]


def _date(text: str) -> date:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise typer.BadParameter(f"'{text}' is no date of the form YYYY-MM-DD, such as 2026-02-10")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not in the calendar") from None


@app.command(
    epilog="Examples: loompin nightly; loompin nightly --date 2026-02-01 (makes the invoices of that date final: fees"
    f" of February, usage of January). {_STATUSES}"
)
def nightly(
    date_: Annotated[
        date | None,
        typer.Option(
            "--date", parser=_date, metavar="YYYY-MM-DD", help="UTC date that has ended; yesterday if not given."
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Run one night: land, validate, derive, publish. Brings the warehouse to what was known at the end of a UTC date.

    Nights that were missed are caught up. A completed night is not run again. A date before the last completed one is
    recomputed and compared with what was published then, and never published over a later one. Another run on the same
    home ends this one at once.

    The night of the first of a month makes the invoices of that date final and writes their PDFs; the end of the output
    tells which, what is not billed and why, and what to do next.
    """
    with _command(debug) as settings:
        from loompin import night as nights
        from loompin.invoice_pdfs import PdfsFailed
        from loompin.lock import home_lock

        night = date_ or nights.yesterday()
        started = time.perf_counter()
        if not settings.home.exists():
            # Wrong usage makes no home.
            _planned(settings, night)
        with home_lock(settings, f"loompin nightly --date {night}"):
            plan = _planned(settings, night)
            if nights.is_complete(settings, plan):
                _write_missing_invoices(settings)
                _show_complete(settings, night)
                return
            with _progress() as progress:
                progress("start", f"night {night}", 0, 0)
                from dagster_project.night_run import Watch
                from dagster_project.run import run_nightly

                summary = run_nightly(settings, night, Watch(progress=progress), _traces if debug else None)
            if summary.watch.landed is not None:
                _show_night(settings, summary.watch.landed, summary.success, time.perf_counter() - started)
            if summary.watch.without_pdf and len(set(summary.problems)) == 1:
                raise PdfsFailed(f"the night {night} is published, but {summary.watch.without_pdf}")
            if not summary.success:
                raise nights.NightError(_why(settings, night, [*summary.watch.problems, *summary.problems]))
            if plan.mode == "earlier":
                _say(
                    f"{night} was recomputed; it equals what was published for it."
                    f" {plan.last_completed} stays published."
                )
            else:
                _show_published(settings)
                from loompin import billing_status

                for part in billing_status.night(settings, plan.last_completed):
                    _say(part)


@app.command(epilog=f"Example: LOOMPIN_SOURCE=~/export loompin check. {_STATUSES}")
def check(
    every: Annotated[bool, typer.Option("--all", help="Show every table, also those with nothing to tell.")] = False,
    debug: Debug = False,
) -> None:
    """Try the source folder without writing anything: what the next night would accept, quarantine and find broken.

    Ends with 1 if something found would end the night.
    """
    with _command(debug) as settings:
        from loompin import night as nights

        with _progress() as progress:
            landed = nights.check(settings, lambda what: progress("land", what, 0, 0))
        from loompin import reports

        for part in reports.checked(landed, every):
            _say(part)
        if landed.blocking:
            raise nights.NightError("this would end the night: " + "; ".join(landed.blocking))
        _say("Nothing here would end the night.")


@app.command(
    epilog="Example: loompin status. It reads published and Parquet files only, so it works while a night runs."
)
def status(debug: Debug = False) -> None:
    """Show the last night, its checks, what is quarantined, what came late, and what a next night would do.

    And how billing stands: drafts of the running month, when the next close is, what is owed, what is not billed and
    why, and the certificate of what became of all usage.
    """
    with _command(debug) as settings:
        from loompin import reports
        from loompin import status as status_module

        with _progress() as progress:
            progress("look", str(settings.source), 0, 0)
            found = status_module.read(settings)
        for part in reports.status(settings, found):
            _say(part)
        if found.published is not None:
            from loompin import billing_status

            for part in billing_status.status(settings):
                _say(part)


@app.command(
    # A query may begin with a comment, which looks like an option.
    context_settings={"ignore_unknown_options": True},
    epilog='Examples: loompin sql "select * from invoices order by date"; loompin sql "show tables";'
    ' loompin sql --csv "from survey_drivers" > drivers.csv',
)
def sql(
    query: Annotated[str, typer.Argument(help="One query in DuckDB's SQL, quoted.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array, one object a row.")] = False,
    limit: Annotated[
        int, typer.Option(min=1, help="Rows that a table on the terminal shows; CSV and JSON have all of them.")
    ] = 200,
    debug: Debug = False,
) -> None:
    """Query the published file, read-only. A query can write nothing and reach no other file."""
    if as_csv and as_json:
        raise typer.BadParameter("give --csv or --json, not both")
    with _command(debug) as settings:
        import duckdb

        from loompin import output, reading

        with reading.published(settings) as connection:
            try:
                result = reading.query(connection, query)
                columns = [column[0] for column in result.description]
                if as_csv:
                    output.write_csv(columns, output.batches(result))
                elif as_json:
                    output.write_json(columns, output.batches(result))
                else:
                    rows = result.fetchmany(limit)
                    more = result.fetchone() is not None
                    told = (
                        f"the first {limit:,} rows; --limit shows more, --csv all"
                        if more
                        else output.count(len(rows), "row")
                    )
                    _say(output.table("", columns, rows, caption=told))
            except duckdb.IOException:
                raise
            except duckdb.Error as error:
                if isinstance(error, duckdb.OutOfMemoryException):
                    raise
                # DuckDB's own message points at the place in the query.
                raise reading.QueryRefused(str(error)) from error


@explain_app.command(
    "invoice",
    epilog="Examples: loompin explain invoice INV-24-002; loompin explain invoice INV-24-002 --events;"
    " loompin explain invoice INV-24-002 --json | jq .changes",
)
def explain_invoice(
    invoice: Annotated[str, typer.Argument(metavar="ID", help="Invoice number, such as INV-24-002.")],
    events: Annotated[bool, typer.Option("--events", help="List all usage events behind the usage lines.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with everything.")] = False,
    debug: Debug = False,
) -> None:
    """Show an invoice down to the last cent: lines, prices, tiers, arithmetic, usage events, payments, what changed.

    Each line tells why it is there, where its price comes from, how its amount is added up and which events stand
    behind it. Then follow payments and credit, and what changed against the tenant's invoice before.

    The change is split into quantity, price, tier mix, proration, late, plan, minimum and credit, which add up to it
    exactly. Sums are added anew; one that is not as published is shown as DIFFERENCE. Ends with 2 if there is no such
    invoice.
    """
    with _command(debug) as settings:
        from loompin import explain_invoice as explain
        from loompin import output

        if as_json:
            output.write_object(explain.invoice_plain(settings, invoice, events))
        else:
            for part in explain.invoice(settings, invoice, events):
                _say(part)


_Every = Annotated[
    bool, typer.Option("--all", help="Show all rows behind the figure, not the most telling ones alone.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object with everything.")]


@explain_app.command(
    "driver",
    epilog="Examples: loompin explain driver 'Shipping Speed' --survey sur_001; loompin explain driver tax_002 --tenant"
    " acme_1 --all; loompin explain driver tax_002 --json | jq '.drivers[].responses[].mentions'",
)
def explain_driver(
    topic: Annotated[
        str, typer.Argument(metavar="TOPIC", help="Topic id or its name, such as tax_002 or 'Shipping Speed'.")
    ],
    survey: Annotated[str | None, typer.Option(help="Only this survey.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant, by id, slug or name.")] = None,
    every: _Every = False,
    as_json: _Json = False,
    debug: Debug = False,
) -> None:
    """Show how a topic moves the sentiment of surveys and the CSAT of tenants, down to the words.

    The arithmetic of the impact, its interval and trend; the words found with the version of their alias; and the
    responses that bring most to it, each with whose score it is, its contribution and its redacted text, the words
    marked and with their offsets. Contributions add up to the impact.

    Sums are added anew; one that is not as published is shown as DIFFERENCE. Ends with 2 if there is no such topic,
    survey or tenant.
    """
    with _command(debug) as settings:
        from loompin import explain_score as explain

        if as_json:
            _object(explain.driver_plain(settings, topic, survey, tenant, every))
        else:
            for part in explain.driver(settings, topic, survey, tenant, every):
                _say(part)


@explain_app.command(
    "segment",
    epilog="Examples: loompin explain segment 'Churn Risks'; loompin explain segment seg_005 --all;"
    " loompin explain segment seg_005 --json | jq .added_anew",
)
def explain_segment(
    segment: Annotated[
        str, typer.Argument(metavar="SEGMENT", help="Segment id or its name, such as seg_005 or 'Churn Risks'.")
    ],
    every: _Every = False,
    as_json: _Json = False,
    debug: Debug = False,
) -> None:
    """Show how the members of a segment feel, down to what they said.

    The arithmetic of the net sentiment and its interval, emotions, what the feedback is about, and the strongest
    feedback: whose score it is, its contribution, its redacted text, the topics with their words and offsets.

    Sums are added anew; one that is not as published is shown as DIFFERENCE. Ends with 2 if there is no such segment.
    """
    with _command(debug) as settings:
        from loompin import explain_score as explain

        if as_json:
            _object(explain.segment_plain(settings, segment, every))
        else:
            for part in explain.segment(settings, segment, every):
                _say(part)


@explain_app.command(
    "score",
    epilog="Examples: loompin explain score Support; loompin explain score 'Service Ops' --tenant acme_1 --all;"
    " loompin explain score Revenue --json | jq '.measures[] | {measure, contribution}'",
)
def explain_score(
    category: Annotated[
        str,
        typer.Argument(metavar="CATEGORY", help="Category of the executive view or its title, such as Support."),
    ],
    tenant: Annotated[
        str | None, typer.Option(help="Of this tenant, by id, slug or name; else of the platform.")
    ] = None,
    every: _Every = False,
    as_json: _Json = False,
    debug: Debug = False,
) -> None:
    """Show what an executive score is made of: measures, their points and weights, and the rows behind each figure.

    Sums are added anew; one that is not as published is shown as DIFFERENCE. Ends with 2 if there is no such category
    or tenant.
    """
    with _command(debug) as settings:
        from loompin import explain_score as explain

        if as_json:
            _object(explain.score_plain(settings, category, tenant, every))
        else:
            for part in explain.score(settings, category, tenant, every):
                _say(part)


@app.command(epilog=f"Examples: loompin reproduce INV-24-002; loompin reproduce INV-24-002 --json. {_STATUSES}")
def reproduce(
    invoice: Annotated[str, typer.Argument(metavar="ID", help="Invoice number, such as INV-24-002.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Debug = False,
) -> None:
    """Derive one invoice again from what was known at the end of its date, and compare it with what is published.

    Reads the record (raw/) alone, in a folder for temporary files (TMPDIR), so that nothing is touched and a night may
    run meanwhile. Takes about as long as a night's models. Ends with 0 if content hash, amount and every line are the
    same, with 1 if not (the lines that differ are told), with 2 if there is no such invoice.
    """
    with _command(debug) as settings:
        from loompin import output
        from loompin import reproduce as reproducing

        with _progress() as progress:
            found = reproducing.reproduce(
                settings, invoice, _derive(progress), lambda what: progress("land", what, 0, 0)
            )
        if as_json:
            output.write_object(found.plain())
        else:
            for part in reproducing.shown(found):
                _say(part)
    if not found.same:
        raise typer.Exit(1)


@app.command(
    epilog="Examples: loompin sql --csv 'select * from price_entries' > proposed.csv, edit it, then"
    " loompin reprice --price-entries proposed.csv --from 2026-01 --to 2026-03;"
    " with --csv changes.csv for each tenant, month and item. " + _STATUSES
)
def reprice(
    price_entries: Annotated[
        Path,
        typer.Option(metavar="FILE", help="All proposed prices: CSV, JSON Lines or Parquet, columns of price_entries."),
    ],
    since: Annotated[str, typer.Option("--from", metavar="YYYY-MM", help="First service month to compare.")],
    until: Annotated[str, typer.Option("--to", metavar="YYYY-MM", help="Last service month to compare, included.")],
    price_books: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="All proposed price books, if they change too; columns of price_books."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with everything.")] = False,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write one row a tenant, currency, month and item.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Try a price change: rate the whole history under proposed prices and compare it with what was billed.

    The proposed file takes the place of all price entries (and books), as if it had always been known; a price that it
    lacks is gone. Shown are, by service month, what tenants would have paid more or less, the total in each currency,
    what would not be billed any more, and which tenants are near a bound of a volume price where their total falls or
    jumps. Nothing is changed, and a night may run meanwhile. Ends with 2 if a file or month is wrong: file, line,
    column and value are told.
    """
    with _command(debug) as settings:
        from loompin import output
        from loompin import reprice as repricing

        files = {repricing.ENTRIES: price_entries} | ({repricing.BOOKS: price_books} if price_books else {})
        first, last = repricing.month(since), repricing.month(until)
        with _progress() as progress:
            found = repricing.reprice(
                settings, files, first, last, _derive(progress), lambda what: progress("land", what, 0, 0)
            )
        if csv_file is not None:
            repricing.write_csv(found, csv_file)
        if as_json:
            output.write_object(found.plain())
        else:
            for part in repricing.shown(found):
                _say(part)
            if csv_file is not None:
                _say(f"{output.count(len(found.changes), 'row')} written to {csv_file}.")


@app.command(
    epilog="Examples: loompin importance swiss.csv --target Fertility; loompin importance answers.parquet --target csat"
    " --without id --json"
)
def importance(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV (with a header) or Parquet file of numbers.")],
    target: Annotated[str, typer.Option(metavar="COLUMN", help="The column to explain by all others.")],
    without: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column to leave out; may be given several times.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: r2, rows and the shares of each column.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Show how much each column of a table explains of one: LMG shares and Johnson's relative weights of R squared.

    Rows with an empty cell are left out. Ends with 2 if the file, a column or the values do not allow it.
    """
    with _command(debug):
        from loompin import importance as importances
        from loompin import reports

        found = importances.of_file(file, target, without or [])
        if as_json:
            typer.echo(reports.importance_json(found))
        else:
            for part in reports.importance(found, target):
                _say(part)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Examples: loompin metrics list metrics; loompin metrics query --metrics nps,nps_low,nps_high --group-by"
    " metric_time__month,tenant__slug; loompin metrics query --help. " + _STATUSES,
)
def metrics(
    arguments: Annotated[
        list[str], typer.Argument(metavar="COMMAND ...", help="A command of MetricFlow's mf with its options.")
    ],
    debug: Debug = False,
) -> None:
    """Ask metrics of the published file, by tenant, day and topic: MetricFlow's `mf`, offline and read-only.

    `list metrics` tells what there is, `list dimensions --metrics csat` what it can be grouped by, and `query` asks;
    `query --explain` shows its SQL. Works while a night runs.
    """
    with _command(debug) as settings:
        from loompin import metrics as asking

        status_ = asking.ask(settings, arguments)
    raise typer.Exit(status_)


@app.command(epilog="Example: loompin version")
def version(debug: Debug = False) -> None:
    """Show the versions of the warehouse, its DuckDB and Python."""
    with _command(debug):
        import platform
        from importlib.metadata import version as installed

        from loompin.night import code_version

        _say(f"loompin {installed('loompin-warehouse')} ({code_version()})")
        for package in ("duckdb", "dagster", "dbt-core", "dbt-duckdb", "great-expectations"):
            _say(f"{package} {installed(package)}")
        _say(f"Python {platform.python_version()}")


# -- what the commands share -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _command(debug: bool) -> Iterator[Settings]:
    """The settings of a command; an error inside becomes one line and a status."""
    settings: Settings | None = None
    try:
        from loompin.settings import Settings as Read

        settings = Read()
        yield settings
    except (typer.Exit, typer.Abort, typer.BadParameter, KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, the user gets one line and a status
        from loompin import failures, output

        failure = failures.explain(error, settings)
        if debug:
            import traceback

            traceback.print_exception(error)
        shown = output.console(stderr=True)
        shown.print(f"loompin: {output.safe(failure.message)}", style="red", soft_wrap=True)
        if failure.advice:
            shown.print(f"To do: {failure.advice}", soft_wrap=True)
        raise typer.Exit(failure.status) from None


def _progress() -> contextlib.AbstractContextManager[Progress]:
    from loompin.progress import Progress

    return Progress()


def _derive(progress: Progress) -> Derive:
    """What builds models in a scratch warehouse: dbt, as a process of its own."""

    def build(scratch: Scratch, models: Sequence[str]) -> None:
        from dagster_project.dbt_process import DbtProcess
        from loompin.night import NightError

        progress("derive", "", 0, 0)
        outcome = DbtProcess(scratch, scratch.warehouse).run(
            ["run", "--select", *(f"+{model}" for model in models)],
            lambda what, done, total: progress("derive", what, done, total),
        )
        if outcome.status:
            raise NightError("the models could not be built: " + "; ".join(outcome.errors[:5]))

    return build


def _say(part: object) -> None:
    from loompin import output

    if isinstance(part, str):
        output.console().print(output.safe(part), soft_wrap=True)
    else:
        output.console().print(part)


def _object(value: object) -> None:
    from loompin import output

    output.write_object(value)


def _planned(settings: Settings, night: date) -> NightPlan:
    """The plan of a night that can begin: it has ended, and where files are wanted there are some."""
    from loompin import contracts, sources
    from loompin import night as nights

    plan = nights.plan(settings, night)
    if plan.mode == "new":
        sources.discover(settings.source, contracts.load())
    return plan


def _write_missing_invoices(settings: Settings) -> None:
    """Make the PDFs that a run before this one could not make, or that somebody removed."""
    from loompin import invoice_pdfs

    if invoice_pdfs.missing(settings):
        with _progress() as progress:
            made = invoice_pdfs.make(settings, lambda what, done, total: progress("invoices", what, done, total))
        from loompin.output import count

        _say(f"{count(made.count, 'PDF')} of invoices written that a run before this one had not.")


def _show_complete(settings: Settings, night: date) -> None:
    _say(f"The night {night} is complete and published already; there is nothing to do.")
    _show_published(settings)


def _show_night(settings: Settings, landed: object, success: bool, seconds: float) -> None:
    from loompin import reports
    from loompin.night import Landed

    assert isinstance(landed, Landed)
    for part in reports.night(settings, landed, success, seconds):
        _say(part)


def _show_published(settings: Settings) -> None:
    from loompin import reports

    for part in reports.where(settings):
        _say(part)


def _traces(event: DagsterEvent) -> None:
    """Show the traceback of a step that failed."""
    if event.is_step_failure and event.step_failure_data.error is not None:
        typer.echo(event.step_failure_data.error.to_string(), err=True)


def _why(settings: Settings, night: date, problems: list[str]) -> str:
    told = list(dict.fromkeys(problem.strip() for problem in problems if problem.strip())) or ["the run failed"]
    from loompin.failures import free_space, is_disk_full

    if is_disk_full(" ".join(told), settings):
        told.insert(0, f"the disk is full{free_space(settings)}")
    stands = "the published file is as before" if settings.published.exists() else "nothing was published"
    return f"the night {night} could not be completed ({stands}): " + "; ".join(told)


if __name__ == "__main__":
    app()

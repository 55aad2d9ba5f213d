"""The command line: parses a call, shows what comes of it, and ends with the right status.

What a night, a check or an explanation is stands elsewhere in `loompin`; Dagster is imported by the one command that
runs it. Heavy imports stand in the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from loompin import telemetry

telemetry.disable()

if TYPE_CHECKING:
    from dagster import DagsterEvent

    from loompin.night import NightPlan
    from loompin.progress import Progress
    from loompin.settings import Settings

_STATUSES = (
    "Ends with 0 if all is well (quarantined rows included), 1 if the work could not be completed, 2 if the call was"
    " wrong."
)

app = typer.Typer(
    name="loompin",
    help="Loompin's analytics warehouse: run a night, look at it, query what it published.",
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
    epilog="Examples: loompin explain invoice INV-24-002 --events; loompin explain driver 'Shipping Speed'",
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


@app.command(epilog=f"Examples: loompin nightly; loompin nightly --date 2026-02-10. {_STATUSES}")
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
    """Show the last night, its checks, what is quarantined, what came late, and what a next night would do."""
    with _command(debug) as settings:
        from loompin import reports
        from loompin import status as status_module

        with _progress() as progress:
            progress("look", str(settings.source), 0, 0)
            found = status_module.read(settings)
        for part in reports.status(settings, found):
            _say(part)


@app.command(
    epilog='Examples: loompin sql "select * from invoices order by date"; loompin sql "show tables";'
    ' loompin sql --csv "from survey_drivers" > drivers.csv'
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


@explain_app.command("invoice", epilog="Example: loompin explain invoice INV-24-002 --events")
def explain_invoice(
    invoice: Annotated[str, typer.Argument(metavar="ID", help="Invoice number, such as INV-24-002.")],
    events: Annotated[bool, typer.Option("--events", help="List the usage events behind each usage line.")] = False,
    debug: Debug = False,
) -> None:
    """Show an invoice's lines, where each price comes from, what is paid, and on request the usage events.

    Ends with 2 if there is no such invoice.
    """
    with _command(debug) as settings:
        from loompin import explain

        for part in explain.invoice(settings, invoice, events):
            _say(part)


@explain_app.command("driver", epilog="Example: loompin explain driver 'Shipping Speed' --survey sur_001")
def explain_driver(
    topic: Annotated[
        str, typer.Argument(metavar="TOPIC", help="Topic id or its name, such as tax_002 or 'Shipping Speed'.")
    ],
    survey: Annotated[str | None, typer.Option(help="Only this survey.")] = None,
    debug: Debug = False,
) -> None:
    """Show how a topic moves the sentiment of surveys: the two means, the responses that count, the words in them.

    Ends with 2 if there is no such topic or survey.
    """
    with _command(debug) as settings:
        from loompin import explain

        for part in explain.driver(settings, topic, survey):
            _say(part)


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


def _say(part: object) -> None:
    from loompin import output

    if isinstance(part, str):
        output.console().print(output.safe(part), soft_wrap=True)
    else:
        output.console().print(part)


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
        _say(f"{made.count:,} invoices had no PDF and have one now.")


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

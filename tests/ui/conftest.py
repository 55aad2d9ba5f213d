"""The UI and the browser of these tests, started once; a screenshot of every page that a failing test had open."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from dagster_ui import Server, shot, start, stop
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

# Generous, as a machine of two cores may have other things to do.
_WAIT_MS = 30_000
expect.set_options(timeout=_WAIT_MS)

_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic", "--no-first-run",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`make ui` for an empty home, on the seeds."""
    folder = tmp_path_factory.mktemp("ui")
    server = start(folder / "home", folder / "ui.log")
    yield server
    left = stop(server)
    assert not left, f"processes outlived the UI: {left}"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium (`tools/chromium.sh` installs it)."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program is not None, "there is no Chromium: run `make test-ui`, which installs it"
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)


@pytest.fixture
def window(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A browser window without a history."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000}, timezone_id="UTC", locale="en-US")
    context.set_default_timeout(_WAIT_MS)
    asked: set[str] = set()
    context.on("request", lambda one: asked.add(urlsplit(one.url).hostname or ""))
    yield context
    if getattr(request.node, "failed", False):
        for number, page in enumerate(context.pages):
            shot(page, f"failed-{request.node.name}-{number}")
    context.close()
    assert asked <= {"127.0.0.1", ""}, "a page asked somebody else for something"


@pytest.fixture
def page(window: BrowserContext) -> Page:
    """An empty page."""
    return window.new_page()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Tell the fixtures of a test that it failed."""
    outcome = yield
    if outcome.get_result().failed:  # type: ignore[attr-defined]
        item.failed = True  # type: ignore[attr-defined]

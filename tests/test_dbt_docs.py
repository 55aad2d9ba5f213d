"""The static page of dbt docs: whole, of this warehouse, and closed to text that would break out of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import duckdb
import pytest

from loompin import dbt_docs
from loompin.settings import Settings
from tests.conftest import REPO


@pytest.fixture(scope="module")
def settings(night_home: Path) -> Settings:
    return Settings(home=night_home, source=REPO / "seeds")


def inline(page: str) -> list[dict[str, dict[str, dict[str, object]]]]:
    """The manifest and the catalog that stand in a page."""
    decoder = json.JSONDecoder()
    starts = [found.start() for found in re.finditer(r'\{"metadata": ?\{"dbt_schema_version"', page)]
    return [decoder.raw_decode(page, start)[0] for start in starts]


def test_page_of_a_night_shows_every_mart_with_its_columns(settings: Settings) -> None:
    manifest, catalog = inline((settings.docs / "dbt" / "index.html").read_text(encoding="utf-8"))
    marts = {
        key for key, node in manifest["nodes"].items() if node["resource_type"] == "model" and node["schema"] == "main"
    }
    assert marts
    assert marts <= set(catalog["nodes"])
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        for key in marts:
            name = key.rpartition(".")[2]
            columns = [row[0] for row in connection.execute(f'describe main."{name}"').fetchall()]
            assert list(catalog["nodes"][key]["columns"]) == columns, name  # type: ignore[call-overload]


def test_page_asks_for_nothing_outside_of_itself(settings: Settings) -> None:
    page = (settings.docs / "dbt" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["']?(?:https?:)?//[^"'> ]+""", page) == []
    manifest, _ = inline(page)
    assert manifest["metadata"]["send_anonymous_usage_stats"] is False


def test_text_that_ends_a_script_stays_text(tmp_path: Path) -> None:
    said = "</script><script>alert(1)</script><!-- and a comment"
    node = {"unique_id": "model.p.a", "name": "a", "alias": "a", "schema": "main", "resource_type": "model"}
    nodes = {"model.p.a": {**node, "description": said}}
    manifest = tmp_path / "manifest.json"
    metadata = {"dbt_schema_version": "v12", "dbt_version": "1.11"}
    manifest.write_text(json.dumps({"metadata": metadata, "nodes": nodes, "sources": {}}))
    with duckdb.connect(str(tmp_path / "w.duckdb")) as connection:
        connection.execute("create table a (id integer)")
        connection.execute(f"comment on column a.id is '{said}'")
    text = dbt_docs.build(manifest, tmp_path / "w.duckdb", tmp_path / "docs" / "index.html").read_text(encoding="utf-8")
    assert said not in text
    declared, catalog = inline(text)
    assert declared["nodes"]["model.p.a"]["description"] == said
    assert catalog["nodes"]["model.p.a"]["columns"]["id"]["comment"] == said  # type: ignore[index]


def test_a_page_of_another_release_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.html").write_text("<html></html>")
    monkeypatch.setattr(dbt_docs, "_template", lambda: tmp_path / "index.html")
    with pytest.raises(dbt_docs.DocsError, match="not known"):
        dbt_docs.build(tmp_path / "manifest.json", tmp_path / "w.duckdb", tmp_path / "page.html")

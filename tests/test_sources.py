"""Which files belong to which table, by their names alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loompin import contracts, sources


def found(folder: Path) -> dict[str, str]:
    return {file.name: file.table for file in sources.discover(folder, contracts.load()).files}


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def test_a_file_belongs_to_the_table_of_its_name_or_of_the_nearest_folder(tmp_path: Path) -> None:
    touch(
        tmp_path, "tenants.csv", "core_platform/users.jsonl", "a/b/plans.PARQUET", "usage_events/2026/02/01.csv",
        "usage_events/more.jsonl", "usage_events/payments/x.csv", "payments/usage_events.csv",
    )  # fmt: skip
    assert found(tmp_path) == {
        "tenants.csv": "tenants",
        "core_platform/users.jsonl": "users",
        "a/b/plans.PARQUET": "plans",
        "usage_events/2026/02/01.csv": "usage_events",
        "usage_events/more.jsonl": "usage_events",
        "usage_events/payments/x.csv": "payments",
        "payments/usage_events.csv": "payments",
    }


def test_hidden_and_unfinished_files_are_passed_over_and_unknown_ones_told(tmp_path: Path) -> None:
    touch(
        tmp_path, "tenants.csv", ".tenants.csv", "_tenants.csv", "tenants.csv.tmp", "tenants.csv~", "tenants.txt",
        ".git/users.csv", "_old/users.csv", "tenant.csv", "x/prices.csv", "make_users.py",
    )  # fmt: skip
    result = sources.discover(tmp_path, contracts.load())
    assert [file.name for file in result.files] == ["tenants.csv"]
    assert result.unknown == ["tenant.csv", "x/prices.csv"]


def test_what_bears_a_files_name_and_is_none_is_found_as_unreadable(tmp_path: Path) -> None:
    touch(tmp_path, "tenants.csv", "users.csv/plans.csv")
    os.mkfifo(tmp_path / "plans.csv")
    (tmp_path / "surveys.csv").symlink_to(tmp_path / "nothing")
    sizes = {file.name: file.size for file in sources.discover(tmp_path, contracts.load()).files}
    assert sizes == {"tenants.csv": 1, "users.csv": -1, "plans.csv": -1, "surveys.csv": -1}


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/day.csv")
    source = tmp_path / "source"
    source.mkdir()
    (source / "usage_events").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(source)
    assert found(source) == {"usage_events/day.csv": "usage_events"}


def test_a_file_whose_name_is_no_text_is_found_as_unreadable(tmp_path: Path) -> None:
    (tmp_path / "usage_events").mkdir()
    (tmp_path / "usage_events" / os.fsdecode(b"\xff.csv")).write_text("x")
    (file,) = sources.discover(tmp_path, contracts.load()).files
    assert (file.name, file.size) == ("usage_events/\\xff.csv", -1)


@pytest.mark.parametrize("names", [[], ["readme.md"], ["unknown.csv"]])
def test_a_folder_without_a_known_table_is_wrong_usage(tmp_path: Path, names: list[str]) -> None:
    touch(tmp_path, *names)
    with pytest.raises(sources.NoSource, match="no file of a known table"):
        sources.discover(tmp_path, contracts.load())


def test_a_missing_folder_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(sources.NoSource, match="does not exist"):
        sources.discover(tmp_path / "nowhere", contracts.load())

"""A night that is killed (SIGKILL) and started again is the same night: nothing lost, nothing twice, nothing changed.

Here are the moments that matter, one each, and a few at random; `python -m bench.kills` does it a hundred times, with
whole nights of the command line among them.
"""

from __future__ import annotations

import random
import shutil
from datetime import date
from pathlib import Path

import kill_home
import pytest
from billing_models import Models, compiled
from kill_home import NIGHTS, Kill, Killed, Undisturbed

CLOSE = NIGHTS[1]
Homes = dict[date, Undisturbed]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Models:
    base = tmp_path_factory.getbasetemp()
    return compiled((base if worker_id == "master" else base.parent) / "billing-models")


@pytest.fixture(scope="module")
def homes(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Homes:
    return kill_home.undisturbed(tmp_path_factory.mktemp("undisturbed"), models)


def test_the_undisturbed_nights_bill_something(homes: Homes) -> None:
    """Otherwise nothing could be lost."""
    made = [{path.name for path in (night.after / "home" / "invoices").iterdir()} for night in homes.values()]
    assert [len(names) for names in made] == [3, 6, 9]
    assert made[0] < made[1] < made[2]
    assert kill_home.differences(homes[NIGHTS[1]].after, homes[NIGHTS[2]].after) != []
    for night in homes.values():
        assert kill_home.left_behind(night.after / "home") == []


# What stands when the night dies, and the rename at which it does. After each, only the next step is missing.
MOMENTS = {
    "rows landed, not yet described": Kill("*/raw/usage_events/*.json"),
    "landed, and stated in the record": Kill("*/nights/pending.json", after=True),
    "events of lines written, not yet described": Kill("*/invoice_line_events/*.json"),
    "built and stated, not yet in place": Kill("*/published/analytics.duckdb"),
    "in place, the night not complete": Kill("*/published/analytics.duckdb", after=True),
    "half of the record's files renamed": Kill(f"*/nights/{CLOSE}.json"),
    "the night complete, no PDF": Kill(f"*/nights/{CLOSE}.json", after=True),
    "one PDF of three": Kill("*/invoices/*.pdf", times=2),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_night_killed_at_this_moment_is_made_again_the_same(
    moment: str, models: Models, homes: Homes, tmp_path: Path
) -> None:
    after = homes[CLOSE].after
    home = Path(shutil.copytree(homes[CLOSE].before, tmp_path / "home"))
    kill_home.prepare(home, models, CLOSE)
    with pytest.raises(Killed):
        kill_home.run(home, models, CLOSE, MOMENTS[moment])
    kill_home.check_whole(home)
    assert kill_home.differences(after, home) != []
    kill_home.run(home, models, CLOSE)
    assert kill_home.differences(after, home) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_night_killed_at_random_again_and_again_is_made_again_the_same(
    seed: int, models: Models, homes: Homes, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    night = NIGHTS[seed]
    home = Path(shutil.copytree(homes[night].before, tmp_path / "home"))
    kill_home.prepare(home, models, night)
    for _ in range(2):
        with pytest.raises(Killed):
            kill_home.run(home, models, night, Kill(seconds=chance.uniform(0.01, 0.4 * homes[night].seconds)))
        kill_home.check_whole(home)
    kill_home.run(home, models, night)
    assert kill_home.differences(homes[night].after, home) == []


@pytest.mark.parametrize("left", ["with its log", "without"])
def test_a_warehouse_that_a_kill_left_broken_is_made_again(
    left: str, models: Models, homes: Homes, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(homes[CLOSE].before, tmp_path / "home"))
    kill_home.prepare(home, models, CLOSE)
    warehouse = home / "home" / "warehouse.duckdb"
    content = warehouse.read_bytes()
    warehouse.write_bytes(content[:12288] + b"half a block" * ((len(content) - 12288) // 12))
    if left == "with its log":
        (home / "home" / "warehouse.duckdb.wal").write_bytes(b"what was not in the file yet")
    kill_home.run(home, models, CLOSE)
    assert kill_home.differences(homes[CLOSE].after, home) == []


def test_a_difference_would_be_seen(models: Models, homes: Homes, tmp_path: Path) -> None:
    """Each thing that is compared, changed once."""
    after = homes[CLOSE].after
    home = Path(shutil.copytree(after, tmp_path / "home"))
    assert kill_home.differences(after, home) == []
    (home / "home" / "invoices" / "INV-24-001.pdf").write_bytes(b"%PDF- another %%EOF")
    (home / "home" / "invoices" / ".INV-24-002.pdf.tmp").touch()
    record = home / "home" / "raw" / "nights" / f"{CLOSE}.json"
    record.write_text(record.read_text(encoding="utf-8").replace('"gone": []', '"gone": ["x"]'), encoding="utf-8")
    next((home / "home" / "raw" / "usage_events").glob("*.parquet")).unlink()
    next((home / "home" / "published" / "invoice_line_events").glob("*.json")).unlink()
    with kill_home.duckdb.connect(str(home / "home" / "published" / "analytics.duckdb")) as connection:
        connection.execute("update invoices set balance = balance + 1 where id = 'INV-24-001'")
    found = " ".join(kill_home.differences(after, home))
    for what in ("PDFs: INV-24-001.pdf", "left behind: invoices/.INV", "record: 2026-02-01.json",
                 "landed files: raw/usage_events", "files of events", "table invoices"):  # fmt: skip
        assert what in found, found

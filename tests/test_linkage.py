"""Which records are one person: the model, the links and clusters that follow, and what is published of them."""

from __future__ import annotations

import csv
import hashlib
import itertools
import random
from collections.abc import Sequence
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from conftest import REPO
from hypothesis import given, settings
from hypothesis import strategies as st
from voice_models import Row, Voice, compiled

from bench import identity
from loompin import linkage
from tools import train_identity

WEIGHTS = identity.weights()
ANNA = {"name": "Anna Keller", "email": "anna.keller@example.com"}
Found = dict[tuple[int, int], dict[str, Any]]


def pairs(*records: Row) -> Found:
    """The pairs that are found in records of tenant a, numbered from 1."""
    rows = [{"number": number, "tenant_id": "a", **record} for number, record in enumerate(records, 1)]
    found = linkage.pairs(pa.Table.from_pylist(rows, linkage.RECORD_FIELDS), WEIGHTS)
    return {(row["left_number"], row["right_number"]): row for row in found.to_pylist()}


# ------------------------------------------------------------------------------------------------------------- model


def test_links_and_clusters_of_fake_1000_are_right() -> None:
    records, truth = identity.people()
    assert (len(records), len(set(truth.values()))) == (1000, 251)
    found = linkage.pairs(records, WEIGHTS)
    for figures in (
        identity.agreement(identity.links(found), truth), identity.agreement(identity.clustered(found), truth),
    ):  # fmt: skip
        assert figures.precision >= identity.LEAST_PRECISION
        assert figures.recall >= identity.LEAST_RECALL
    # The figures that docs/methods.md gives.
    assert [round(figure, 3) for figure in identity.agreement(identity.links(found), truth)] == [0.998, 0.812]
    assert [round(figure, 3) for figure in identity.agreement(identity.clustered(found), truth)] == [0.997, 0.935]


def test_precision_and_recall_can_fail() -> None:
    truth = {1: "x", 2: "x", 3: "x", 4: "y"}
    assert identity.agreement({(1, 2), (1, 4)}, truth) == (0.5, 1 / 3)


def test_a_model_of_half_the_people_links_the_other_half() -> None:
    records, truth = identity.people()
    numbers = records["number"].to_pylist()
    trained = train_identity.train(records.filter(pa.array([int(truth[number]) % 2 == 0 for number in numbers])))
    assert [weight[:2] for weight in trained] == [weight[:2] for weight in WEIGHTS] == [*linkage.labels()]
    found = linkage.pairs(records.filter(pa.array([int(truth[number]) % 2 == 1 for number in numbers])), trained)
    unseen = {number: person for number, person in truth.items() if int(person) % 2 == 1}
    links = identity.agreement(identity.links(found), unseen)
    assert links.precision >= 0.98
    assert links.recall >= 0.75
    # Half the people tell much the same as all of them.
    for all_, half in zip(WEIGHTS, trained, strict=True):
        assert half.m == pytest.approx(all_.m, rel=0.35, abs=0.03)
        assert half.u == pytest.approx(all_.u, rel=0.35, abs=0.0005)


def test_the_name_of_the_model_says_what_links() -> None:
    """Pairs are kept under this name: whoever changes the package, the weights or the rules gives it another number."""
    assert "'fellegi-sunter 1'" in (REPO / "dbt_project" / "macros" / "identity.sql").read_text(encoding="utf-8")
    assert version("splink") == "4.0.17"
    told = identity.WEIGHTS.read_bytes() + repr((linkage.LEVELS, linkage.BLOCKING_RULES)).encode()
    assert hashlib.sha256(told).hexdigest() == "d69ffa6daecef41c05217fc11d3ee490db8d246b5e2cf0abad3ca6efb38a9133"
    with identity.WEIGHTS.open(encoding="utf-8", newline="") as file:
        assert {
            (row["comparison"], int(row["level"])): row["label"] for row in csv.DictReader(file)
        } == linkage.labels()


def test_evidence_is_the_sum_of_what_each_attribute_says() -> None:
    born = date(1980, 5, 17)
    (pair,) = pairs(
        {**ANNA, "date_of_birth": born, "city": "Bern"},
        {**ANNA, "name": "Keller, ANNA", "date_of_birth": born.replace(day=11), "city": "Basel"},
    ).values()
    assert [pair[f"{name}_level"] for name in linkage.LEVELS] == [6, 3, 3, 0]
    said = {weight[:2]: weight for weight in WEIGHTS}
    ratios = [said[name, pair[f"{name}_level"]] for name in linkage.LEVELS]
    product = 1.0
    for weight in ratios:
        product *= weight.m / weight.u
    assert 2 ** pair["evidence"] == pytest.approx(product, rel=1e-5)
    assert 2 ** pair["prior"] == pytest.approx(0.002 / 0.998, rel=1e-5)
    assert pair["probability"] == 0.999999


def test_the_worked_example_of_the_methods_page() -> None:
    (pair,) = pairs({"email": "j.doe@example.com"}, {"email": "J.Doe@example.com", "name": "John Doe"}).values()
    assert (pair["evidence"], pair["prior"], pair["probability"]) == (15.763057, -8.962896, 0.991107)


def test_a_model_with_a_level_missing_is_refused() -> None:
    records = pa.Table.from_pylist([], linkage.RECORD_FIELDS)
    with pytest.raises(ValueError, match=r"identity_weights: city, level 0 \(different\) needs m and u"):
        linkage.pairs(records, [weight for weight in WEIGHTS if weight[:2] != ("city", 0)])


# ------------------------------------------------------------------------------------------------------------- pairs


def test_equal_people_of_two_tenants_are_never_a_pair() -> None:
    born = date(1980, 5, 17)
    same = {**ANNA, "date_of_birth": born, "city": "Bern"}
    found = pairs(same, {**same, "tenant_id": "b"}, same, {**same, "tenant_id": "b"}, {**same, "tenant_id": None})
    assert set(found) == {(1, 3), (2, 4)}


def test_a_large_tenant_needs_more_than_a_name_but_not_more_than_an_address() -> None:
    small = [ANNA | {"email": None}] * 2 + [{"email": "mia@example.com"}] * 2
    others = [{"name": f"given{number} family{number}"} for number in range(20_000)]
    few, many = pairs(*small), pairs(*small, *others)
    assert few[1, 2]["probability"] > 0.9
    assert many[1, 2]["probability"] < 0.9
    assert few[3, 4]["probability"] == many[3, 4]["probability"] > 0.9


@pytest.mark.parametrize(
    ("left", "right", "level"),
    [
        ("Anna Keller", "keller anna", "same"),
        ("Dr. Anna Maria Keller", "Anna Keller", "same"),
        ("Zoë Müller", "Zoe Muller", "same"),
        ("Anna Keller", "Ana Kellr", "similar"),
        ("Anna Keller", "Keller", "one same, other missing"),
        ("Anna Keller", "Mia Keller", "one same, other different"),
        ("Anna Keller", "Kellar", "one similar, other missing"),
        ("Anna Keller", "Mia Kellar", "one similar, other different"),
        ("Anna Keller", "Otto Braun", "different"),
        ("አበበ ተስፋዬ", "አበበ ተስፋዬ", "same"),
        # Bytes of one script begin alike, letters do not.
        ("አበበ ተስፋዬ", "አለሙ ተክሌ", "different"),
        ("山田太郎", "山田太郎", "one same, other missing"),
        ("山田太郎", "山田花子", "different"),
        ("Anna Keller", "  !? ", None),
    ],
)
def test_names_are_compared_by_their_words(left: str, right: str, level: str | None) -> None:
    sure = {"email": "a@example.com", "date_of_birth": date(1980, 5, 17), "city": "Bern"}
    (pair,) = pairs({**sure, "name": left}, {**sure, "name": right}).values()
    number = pair["name_level"]
    assert (None if number is None else linkage.labels()["name", number]) == level


@pytest.mark.parametrize(
    ("left", "right", "level"),
    [
        (" Anna.Keller@Example.com", "anna.keller@example.com", "same"),
        ("anna.keller@example.com", "anna.keller@exmaple.com", "same mailbox, similar domain"),
        ("akeller85@example.com", "akeler85@example.com", "similar"),
        ("keller@example.com", "kell@example.com", "different"),
        ("anna.keller@example.com", "n/a", None),
        ("anna.keller@example.com", "", None),
    ],
)
def test_addresses_are_compared_by_their_parts(left: str, right: str, level: str | None) -> None:
    sure = {"name": "Anna Keller", "date_of_birth": date(1980, 5, 17), "city": "Bern"}
    (pair,) = pairs({**sure, "email": left}, {**sure, "email": right}).values()
    number = pair["email_level"]
    assert (None if number is None else linkage.labels()["email", number]) == level


def test_two_people_whose_addresses_differ_as_their_names_do_are_not_linked() -> None:
    ben = {"name": "Ben Tesfaye", "email": "ben.tesfaye@example.com"}
    assert pairs(ben, {"name": "Chen Tesfaye", "email": "chen.tesfaye@example.com"}) == {}
    assert (1, 2) in pairs(ben, {"name": "Ben Tesfaye", "email": "ben.tesfayy@example.com"})


def test_what_more_than_a_hundred_share_tells_nobody_apart() -> None:
    hundred = pairs(*[ANNA] * 100)
    assert len(hundred) == 4950
    assert pairs(*[ANNA] * 101) == {}
    shared = [{"email": "info@example.com", "date_of_birth": date(1970, 1, 1)}] * 101
    assert set(pairs(*shared, ANNA, ANNA)) == {(102, 103)}


@pytest.mark.parametrize(
    "records",
    [
        [], [ANNA], [{}, {}], [{"name": ""}, {"name": " "}], [{"name": "x" * 100_000}, ANNA],
        [{"city": "Bern"}, {"city": "Bern"}], [{"email": "@"}, {"email": "@"}], [ANNA, ANNA | {"tenant_id": None}],
    ],
)  # fmt: skip
def test_where_there_is_nothing_to_compare_nothing_is_found(records: Sequence[Row]) -> None:
    assert pairs(*records) == {}


def test_the_order_of_records_and_the_number_of_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    records, _ = identity.people()
    tenants = pa.array([f"t{number % 3}" for number in range(len(records))])
    records = records.set_column(1, "tenant_id", tenants)
    expected = linkage.pairs(records, WEIGHTS)
    assert len(expected) > 100
    connect = linkage.landing.connect

    def limited(threads: int, *arguments: Any) -> duckdb.DuckDBPyConnection:
        connection = connect(*arguments)
        connection.execute(f"set threads = {threads}")
        return connection

    for threads, seed in ((1, 1), (3, 2)):
        monkeypatch.setattr(linkage.landing, "connect", partial(limited, threads))
        places = random.Random(seed).sample(range(len(records)), len(records))
        assert linkage.pairs(records.take(places), WEIGHTS).equals(expected)


# ---------------------------------------------------------------------------------------------------------- clusters


def test_a_chain_is_one_cluster_and_its_end_the_least_sure() -> None:
    assert linkage.clusters([(2, 3, 0.9), (1, 2, 0.95), (7, 8, 0.99)]) == [
        (1, 1, 3, 1.0), (2, 1, 3, 0.95), (3, 1, 3, 0.855), (7, 7, 2, 1.0), (8, 7, 2, 0.99),
    ]  # fmt: skip


def test_the_surest_path_counts() -> None:
    found = linkage.clusters([(1, 3, 0.9), (1, 2, 0.99), (2, 3, 0.98), (2, 3, 0.95), (3, 3, 1.0)])
    assert [member.probability for member in found] == [1.0, 0.99, 0.9702]
    assert linkage.clusters([]) == []


LINKS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12), st.sampled_from([0.9, 0.95, 1.0])), max_size=20)


@settings(max_examples=100)
@given(LINKS, st.randoms(use_true_random=False))
def test_clusters_are_the_components_whatever_the_order(links: list[tuple[int, int, float]], chance: Any) -> None:
    found = linkage.clusters(links)
    turned = [(right, left, probability) for left, right, probability in links]
    chance.shuffle(turned)
    assert linkage.clusters(turned) == found
    cluster = {member.number: member.cluster for member in found}
    assert all(cluster[left] == cluster[right] for left, right, _ in links if left != right)
    for _, members in itertools.groupby(sorted(found, key=lambda m: m.cluster), key=lambda m: m.cluster):
        numbers = [member.number for member in members]
        assert cluster[min(numbers)] == min(numbers)
        # Nothing but links joins: every proper part of a component has a link out of it.
        reached = {min(numbers)}
        while grown := {b for a, b, _ in [*links, *turned] if a in reached} - reached:
            reached |= grown
        assert reached == set(numbers)


# ------------------------------------------------------------------------------------------------------------ models


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Voice:
    base = tmp_path_factory.getbasetemp()
    return Voice(compiled((base if worker_id == "master" else base.parent) / "voice-models"))


def customer(number: int, tenant: str = "a", **attributes: Any) -> Row:
    return {"id": f"c{number}", "tenant_id": tenant, "tenant_ref": tenant, **attributes}


def record(identity: str, canonical: str | None = None, tenant: str | None = "a", **attributes: Any) -> Row:
    return {"source_platform": "Zendesk", "source_id": identity, "canonical_id": canonical, "tenant_id": tenant,
            "tenant_ref": tenant, **attributes}  # fmt: skip


def graph(voice: Voice, customers: Sequence[Row], records: Sequence[Row]) -> dict[tuple[Any, ...], dict[str, Any]]:
    voice.build(customers=customers, identity_graph=records)
    rows = voice.ask("select * from identity_graph")
    return {(row["tenant_id"], row["source_platform"], row["source_id"]): row for row in rows}


MIA = {"name": "Mia Braun", "email": "mia.braun@example.net"}


def test_a_record_is_linked_to_the_customer_that_it_is_like(voice: Voice) -> None:
    found = graph(
        voice, [customer(1, **ANNA), customer(2, **MIA)], [record("z1", **ANNA), record("z2", name="Otto Ude")]
    )
    assert len(found) == 2
    linked = found["a", "Zendesk", "z1"]
    assert linked["confidence"] == linked["match_probability"] == 0.999999
    assert (linked["canonical_id"], linked["link_source"], linked["cluster_size"]) == ("c1", "found", 2)
    assert (linked["n_links"], linked["reason"], linked["cluster_id"]) == (1, None, "Loompin:c1")
    alone = found["a", "Zendesk", "z2"]
    assert (alone["canonical_id"], alone["confidence"], alone["cluster_size"]) == (None, None, 1)
    assert (alone["link_source"], alone["reason"]) == (None, "no record is alike")


def test_no_link_crosses_tenants(voice: Voice) -> None:
    found = graph(
        voice,
        [customer(1, **ANNA), customer(2, "b", **ANNA)],
        [record("z1", **ANNA), record("z1", tenant="b", **ANNA), record("z2", "c1", tenant="b", **ANNA),
         record("z3", tenant=None, **ANNA), record("z4", tenant=None, **ANNA) | {"tenant_ref": "nobody"}],
    )  # fmt: skip
    assert {key: row["canonical_id"] for key, row in found.items()} == {
        ("a", "Zendesk", "z1"): "c1", ("b", "Zendesk", "z1"): "c2", ("b", "Zendesk", "z2"): "c1",
        (None, "Zendesk", "z3"): None, (None, "Zendesk", "z4"): None,
    }  # fmt: skip
    # The platform's own link across tenants is shown, and joins nothing.
    crossing = found["b", "Zendesk", "z2"]
    assert (crossing["link_source"], crossing["reason"]) == ("platform", "the customer belongs to another tenant")
    assert crossing["cluster_id"] == found["b", "Zendesk", "z1"]["cluster_id"] == "Loompin:c2"
    assert found["a", "Zendesk", "z1"]["cluster_id"] == "Loompin:c1"
    assert found[None, "Zendesk", "z3"]["reason"] == "no known tenant"
    assert voice.ask("select count(*) as n from identity_links where left_id = 'c1' and right_id <> 'z1'") == [{"n": 0}]


def test_the_platforms_link_wins_over_a_found_one(voice: Voice) -> None:
    found = graph(
        voice,
        [customer(1, **ANNA), customer(2, **MIA)],
        [record("z1", "c2", confidence=0.6, **ANNA), record("z2", "c1", confidence=0.9, **ANNA), record("z3", **MIA)],
    )
    wrong = found["a", "Zendesk", "z1"]
    assert (wrong["canonical_id"], wrong["confidence"], wrong["link_source"]) == ("c2", 0.6, "platform")
    assert (wrong["conflicting_id"], wrong["conflicting_probability"]) == ("c1", 0.999999)
    assert (wrong["match_probability"], wrong["cluster_id"]) == (None, "Loompin:c2")
    assert wrong["reason"] == "the record is more like another customer"
    right = found["a", "Zendesk", "z2"]
    assert (right["confidence"], right["match_probability"], right["cluster_id"]) == (0.9, 0.999999, "Loompin:c1")
    # The conflict joins neither the customers nor their records.
    assert {row["cluster_id"] for row in found.values()} == {"Loompin:c1", "Loompin:c2"}
    assert found["a", "Zendesk", "z3"]["canonical_id"] == "c2"
    status = voice.ask("select right_id, status from identity_links where left_id = 'c1' order by 1")
    assert status == [{"right_id": "z1", "status": "conflict"}, {"right_id": "z2", "status": "confirmed"}]


def test_a_chain_leads_to_the_customer_with_the_product_of_its_links(voice: Voice) -> None:
    """The last record is like the one in the middle alone, which the platform links to the customer."""
    found = graph(
        voice,
        [customer(1, **MIA)],
        [record("z1", "c1", confidence=0.8, **ANNA), record("z2", email=ANNA["email"]), record("z3", "c1")],
    )
    last = found["a", "Zendesk", "z2"]
    assert (last["canonical_id"], last["cluster_size"], last["n_links"]) == ("c1", 4, 1)
    assert last["confidence"] == pytest.approx(0.8 * last["match_probability"], abs=1e-6)
    assert found["a", "Zendesk", "z3"]["reason"] == "the platform sent no confidence"


def test_customers_that_are_one_person_are_told(voice: Voice) -> None:
    found = graph(
        voice,
        [customer(1, **ANNA), customer(2, **ANNA), customer(3, **MIA)],
        [record("z1", "c2"), record("z2", **ANNA)],
    )
    # c2 stands for both: the platform links an id to it.
    assert {key[2]: row["canonical_id"] for key, row in found.items()} == {"z1": "c2", "z2": "c2", "c1": "c2"}
    assert {row["cluster_size"] for row in found.values()} == {4}
    assert found["a", "Loompin", "c1"]["link_source"] == "found"


def test_records_of_no_known_customer_and_below_the_threshold_say_so(voice: Voice) -> None:
    found = graph(
        voice,
        [customer(1, **MIA)],
        [record("z1", **ANNA), record("z2", **ANNA), record("z3", name=MIA["name"], email="braun@elsewhere.example"),
         record("z4"), record("z5", city="Bern")],
    )  # fmt: skip
    assert {row["source_id"]: (row["canonical_id"], row["reason"]) for row in found.values()} == {
        "z1": (None, "linked to records of no known customer"), "z2": (None, "linked to records of no known customer"),
        "z3": (None, "the most alike record is below the threshold"),
        "z4": (None, "no name, e-mail address or date of birth to compare"),
        "z5": (None, "no name, e-mail address or date of birth to compare"),
    }  # fmt: skip
    assert {row["cluster_id"] for row in found.values() if row["cluster_size"] == 2} == {"Zendesk:z1"}


def test_a_link_to_an_unknown_customer_stays(voice: Voice) -> None:
    (row,) = graph(voice, [], [record("z1", "gone", tenant=None, confidence=0.7)]).values()
    assert (row["canonical_id"], row["confidence"], row["link_source"]) == ("gone", 0.7, "platform")


def test_of_two_rows_of_one_id_the_platforms_link_counts(voice: Voice) -> None:
    rows = [record("z1", **MIA), record("z1", "c1", tenant=None, confidence=0.7)]
    (row,) = graph(voice, [customer(1, **ANNA)], rows).values()
    assert (row["canonical_id"], row["confidence"], row["tenant_id"]) == ("c1", 0.7, "a")


PEOPLE = [ANNA, MIA, {"name": "Ana Keller", "email": "anna.keller@example.com"}, {"name": "Mia Braun"},
          {"email": "mia.braun@exmaple.net"}, {"name": "Otto Ude", "date_of_birth": date(1990, 1, 2)}]  # fmt: skip


@settings(max_examples=3)
@given(st.data())
def test_the_graph_does_not_depend_on_the_order_of_rows(voice: Voice, data: st.DataObject) -> None:
    whose = st.tuples(st.sampled_from(PEOPLE), st.sampled_from("ab"))
    customers = [
        customer(number, tenant, name=person.get("name"), email=person.get("email"))
        for number, (person, tenant) in enumerate(data.draw(st.lists(whose, min_size=2, max_size=6)))
    ]
    known = st.sampled_from([None, None, "c0", "c1"])
    records = [
        record(f"z{number}", canonical, tenant, **person)
        for number, ((person, tenant), canonical) in enumerate(data.draw(st.lists(st.tuples(whose, known), max_size=6)))
    ]
    expected = graph(voice, customers, records)
    links = voice.ask("select * from identity_links order by all")
    for row in expected.values():
        assert row["cluster_id"] is not None
        if row["link_source"] == "found":
            own = next(one for one in customers if one["id"] == row["canonical_id"])
            assert own["tenant_id"] == row["tenant_id"]
    shuffled = graph(voice, data.draw(st.permutations(customers)), data.draw(st.permutations(records)))
    assert shuffled == expected
    assert voice.ask("select * from identity_links order by all") == links


def test_an_id_that_is_an_address_is_published_as_a_pseudonym(voice: Voice) -> None:
    rows = [record("anna@example.com", "c1"), record("user:mia@example.com"), record("user:eva@example.com")]
    found = graph(voice, [customer(1, **ANNA)], rows)
    assert len(found) == 3
    assert all(key[2].startswith("p_") for key in found)
    told = voice.ask("select * from identity_graph") + voice.ask("select * from identity_links")
    assert "@" not in str(told)


# --------------------------------------------------------------------------------------------------------- published

SAMPLE = [("cust_001", "Salesforce", "sf_7788", 0.99), ("cust_001", "Zendesk", "zen_4455", 0.95),
          ("cust_002", "Shopify", "shp_1122", 0.85), ("cust_003", "Intercom", "int_9900", 0.98),
          ("cust_005", "Twitter", "tw_8822", 0.75)]  # fmt: skip


def test_the_sample_shows_the_platforms_links_and_found_ones(night_home: Path) -> None:
    with duckdb.connect(str(night_home / "published" / "analytics.duckdb"), read_only=True) as connection:
        rows = connection.execute(
            "select canonical_id, source_platform, source_id, confidence from identity_graph"
        ).fetchall()
        found = dict(connection.execute(
            "select source_id, canonical_id from identity_graph where link_source = 'found' and confidence >= 0.9"
        ).fetchall())  # fmt: skip
        sums = connection.execute(
            "select max(abs(match_weight - prior_weight - name_weight - email_weight - date_of_birth_weight"
            " - city_weight)), count(*) from identity_links"
        ).fetchone()
    assert [rows.count(row) for row in SAMPLE] == [1] * 5
    assert found == {"zen_7001": "cust_1001", "sf_8101": "cust_1002", "int_9951": "cust_1002", "shp_2203": "cust_1003"}
    assert sums is not None
    assert sums[0] < 1e-5
    assert sums[1] > 5


def test_nothing_that_records_were_compared_by_is_published(night_home: Path) -> None:
    file = REPO / "seeds" / "customer_intelligence" / "identity_graph" / "records.csv"
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    raw = {row[column] for row in rows for column in ("name", "email", "date_of_birth") if row[column]}
    assert len(raw) > 15
    published = (night_home / "published" / "analytics.duckdb").read_bytes().lower()
    assert [value for value in raw if value.lower().encode() in published] == []
    columns = duckdb.connect(str(night_home / "published" / "analytics.duckdb"), read_only=True).execute(
        "select column_name from duckdb_columns() where table_name = 'identity_graph'"
    )
    assert not {"name", "email", "date_of_birth", "city"} & {column for (column,) in columns.fetchall()}

"""Make the seeds of journeys and experiments: what customers did step by step, and who saw which variant.

What belongs here: strategy/journey_events.csv and strategy/ab_events.csv, in line with the catalog's journeys
(steps_count, success_rate) and experiments (variant_a_pct, status, winner). What does not: surveys and segments
(`make_survey_responses.py`, which makes the customers named here).

Counts are dealt, not drawn, so that shares come out as meant. Run it from anywhere; the same files come out each time.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

SEEDS = Path(__file__).resolve().parent
START = datetime(2025, 12, 1, tzinfo=UTC)
LAST_MOMENT = datetime(2026, 2, 10, 22, 0, 0, tzinfo=UTC)

# journey: steps in order (as many as the catalog counts), share that reaches the last one, customers
JOURNEYS: dict[str, tuple[list[str], float, int]] = {
    "jrn_001": (
        [
            "request_trial", "qualify", "kickoff", "connect_crm", "import_history", "invite_team", "first_dashboard",
            "first_alert", "security_review", "business_case", "procurement", "contract_signed",
        ],
        0.45,
        40,
    ),
    "jrn_002": (["visit", "sign_up", "verify_email", "first_survey", "first_insight"], 0.82, 50),
    "jrn_003": (
        ["opened", "triage", "first_answer", "escalated", "engineer_assigned", "fix_shipped", "confirmed", "closed"],
        0.95,
        40,
    ),
    "jrn_004": (["store_found", "store_entered", "product_tried", "purchase"], 0.12, 50),
    "jrn_005": (
        [
            "apply", "approved", "sandbox_key", "first_call", "first_webhook", "auth_review", "rate_limits_set",
            "schema_mapped", "test_suite_passed", "pilot_tenant", "pilot_review", "security_review", "contract",
            "production_key", "live",
        ],
        0.35,
        20,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """An experiment: its variants with the number of subjects, and how many of each did what was measured."""

    id: str
    metric: str
    subjects: dict[str, int]
    conversions: dict[str, int]


EXPERIMENTS = [
    # Completed, Blue won: 26 % against 16 %
    Experiment("abt_001", "click", {"Blue": 300, "Green": 296}, {"Blue": 78, "Green": 47}),
    # still running
    Experiment("abt_002", "sign_up", {"Long": 120, "Short": 124}, {"Long": 11, "Short": 17}),
    # 40 % of the subjects see variant A
    Experiment("abt_003", "accepted_answer", {"v1": 120, "v2": 178}, {"v1": 66, "v2": 112}),
    # Completed, and the platform calls Grid the winner, though the difference is within chance
    Experiment("abt_004", "session_over_5_min", {"Grid": 251, "List": 247}, {"Grid": 64, "List": 58}),
    # Failed: the split was to be even and is not
    Experiment("abt_005", "purchase", {"Flat": 170, "Tiered": 110}, {"Flat": 12, "Tiered": 9}),
]


def stamp(moment: datetime) -> str:
    """ISO 8601 in UTC, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def respondents() -> list[str]:
    """The ids of the customers that make_survey_responses.py made."""
    with (SEEDS / "customer_intelligence/customers/respondents.csv").open(encoding="utf-8", newline="") as handle:
        return [row["id"] for row in csv.DictReader(handle)]


def journey_rows(rng: random.Random, customers: Sequence[str]) -> Iterable[list[str]]:
    """One row a customer and step reached; those who drop off do so at any step, and some repeat one."""
    for journey_id, (steps, success, size) in JOURNEYS.items():
        reached_goal = round(success * size)
        for index, customer in enumerate(rng.sample(list(customers), size)):
            reached = len(steps) if index < reached_goal else rng.randint(1, len(steps) - 1)
            moment = START + timedelta(seconds=rng.randint(0, 45 * 86_400))
            for position, step in enumerate(steps[:reached]):
                yield [journey_id, customer, step, stamp(moment)]
                if position and rng.random() < 0.05:
                    moment += timedelta(minutes=rng.randint(2, 90))
                    yield [journey_id, customer, step, stamp(moment)]
                moment += timedelta(minutes=rng.randint(5, 1800))


def experiment_rows(rng: random.Random) -> Iterable[list[str]]:
    """One row an exposure and one a conversion; a subject may convert twice, and counts once."""
    number = 1
    for experiment in EXPERIMENTS:
        deal = [variant for variant, count in experiment.subjects.items() for _ in range(count)]
        rng.shuffle(deal)
        left = dict(experiment.conversions)
        for index, variant in enumerate(deal):
            subject = f"{experiment.id}_s{index + 1:04d}"
            moment = START + timedelta(seconds=rng.randint(0, 60 * 86_400))
            events = ["exposed"]
            if left[variant]:
                left[variant] -= 1
                events += [experiment.metric] * (2 if index % 17 == 0 else 1)
            for event in events:
                yield [f"abe_{number:05d}", experiment.id, variant, subject, event, stamp(min(moment, LAST_MOMENT))]
                number += 1
                moment += timedelta(minutes=rng.randint(1, 600))


def write(path: str, header: str, rows: Iterable[Sequence[str]]) -> None:
    """One CSV file below the seeds folder."""
    target = SEEDS / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)


def main() -> None:
    """Write both files."""
    rng = random.Random(20260210)
    write("strategy/journey_events.csv", "journey_id,customer_id,step,occurred_at", journey_rows(rng, respondents()))
    write("strategy/ab_events.csv", "id,ab_test_id,variant,subject_id,event_name,occurred_at", experiment_rows(rng))


if __name__ == "__main__":
    main()

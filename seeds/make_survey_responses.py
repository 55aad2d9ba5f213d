"""Make the bulky Voice-of-Customer seeds: respondents, survey responses, topics, aliases, overrides, segment members.

What belongs here: the seed files of customer_intelligence and strategy that feed the survey and driver marts, made so
that those marts come out as the catalog's sample does. What does not: rows of the catalog's own samples (they stand in
files of their own, cell by cell) and anything about journeys or experiments (`make_journeys_and_experiments.py`).

The figures are constructed, not searched for. Topics are dealt first; then the catalog's impacts and daily means are
linear equations in the scores, so the scores are moved by the least amount that solves them. Each topic's weekly
impacts are equations of the same kind, which is how a topic comes to improve, worsen or stay. CSAT is a whole number
from 1 to 5, so single answers are raised or lowered by one until the impacts fit.

Run it from anywhere: `python seeds/make_survey_responses.py`. The same files come out each time.
"""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SEEDS = Path(__file__).resolve().parent
LAST_MOMENT = datetime(2026, 2, 10, 23, 59, 0, tzinfo=UTC)
FIRST_WEEK = date(2025, 11, 10)  # a Monday

ACME = "550e8400-e29b-41d4-a716-446655440000"
GLOBAL_TECH = "671f9511-f30c-4874-a690-349023450000"
STARK = "982f2345-d41c-4321-b112-998877660000"
WAYNE = "123e4567-e89b-12d3-a456-426614174000"
CYBERDYNE = "a1b2c3d4-e5f6-g7h8-i9j0-k1l2m3n4o5p6"

# id, label, parent_id, weight: topics beside the catalog's five
TOPICS = [
    ("tax_006", "App Performance", "tax_003", "1.0"),
    ("tax_007", "Billing Issue", "NULL", "0.9"),
    ("tax_008", "Agent Quality", "tax_004", "0.8"),
    ("tax_009", "Feature Request", "NULL", "0.5"),
    ("drv_001", "Shipping Delay", "tax_001", "1.0"),
    ("drv_002", "Support Empathy", "tax_004", "1.0"),
    ("drv_003", "Feature Gap", "tax_003", "1.0"),
    ("drv_004", "UI Speed", "tax_006", "1.0"),
    ("drv_005", "Pricing Model", "tax_007", "1.0"),
]

# topic_id, alias, valid_from, valid_to
ALIASES = [
    ("tax_001", "logistics", "2025-01-01", ""),
    ("tax_001", "warehouse", "2025-01-01", ""),
    ("tax_002", "shipping", "2025-01-01", ""),
    ("tax_002", "delivery", "2025-01-01", ""),
    ("tax_002", "arrived late", "2025-01-01", ""),
    ("tax_002", "two weeks to arrive", "2025-01-01", ""),
    ("tax_002", "التوصيل", "2025-01-01", ""),
    ("tax_002", "המשלוח", "2025-01-01", ""),
    ("tax_003", "build quality", "2025-01-01", ""),
    ("tax_003", "broke after", "2025-01-01", ""),
    ("tax_004", "polite", "2025-01-01", ""),
    ("tax_004", "rude", "2025-01-01", ""),
    ("tax_005", "suggestions are wrong", "2025-01-01", ""),
    ("tax_005", "ai summary", "2025-01-01", ""),
    ("tax_006", "app crashes", "2025-01-01", ""),
    ("tax_006", "crashes on startup", "2025-01-01", ""),
    ("tax_006", "app is fast", "2025-01-01", ""),
    ("tax_006", "loads in a second", "2025-01-01", ""),
    ("tax_006", "app", "2025-06-01", "2025-12-31"),
    ("tax_006", "የመተግበሪያው", "2025-01-01", ""),
    ("tax_007", "invoice", "2025-01-01", ""),
    ("tax_007", "charged twice", "2025-01-01", ""),
    ("tax_007", "refund", "2025-01-01", ""),
    ("tax_008", "agent", "2025-01-01", ""),
    ("tax_008", "support rep", "2025-01-01", ""),
    ("tax_009", "please add", "2025-01-01", ""),
    ("tax_009", "would love to see", "2025-01-01", ""),
    ("drv_001", "late delivery", "2025-01-01", ""),
    ("drv_001", "shipping delay", "2025-01-01", ""),
    ("drv_001", "order was delayed", "2025-01-01", ""),
    ("drv_002", "listened to me", "2025-01-01", ""),
    ("drv_002", "truly understood", "2025-01-01", ""),
    ("drv_003", "missing feature", "2025-01-01", ""),
    ("drv_003", "cannot export", "2025-01-01", ""),
    ("drv_004", "snappy", "2025-01-01", ""),
    ("drv_004", "interface is quick", "2025-01-01", ""),
    ("drv_005", "pricing", "2025-01-01", ""),
    ("drv_005", "too expensive", "2025-01-01", ""),
]

# The catalog's topic_assignments: all five were made by hand.
OVERRIDES = [
    ("tax_002", "evt_101", "0.95", "2026-02-01"),
    ("tax_003", "evt_102", "0.82", "2026-02-01"),
    ("tax_001", "evt_103", "0.75", "2026-02-02"),
    ("tax_005", "evt_104", "0.98", "2026-02-02"),
    ("tax_004", "evt_105", "0.65", "2026-02-02"),
]


@dataclass(frozen=True)
class TopicPlan:
    """One topic of a survey: what its impact comes to and how it moves over the weeks."""

    topic_id: str
    category: str
    share: float  # of responses that touch it
    impact: float  # leave-one-out impact over the whole survey
    weekly_slope: float = 0.0  # change of the weekly impact from one week to the next


SUR_001_TOPICS = [
    TopicPlan("tax_002", "Logistics", 0.34, -0.15, -0.008),
    TopicPlan("tax_006", "Product", 0.48, 0.25, 0.008),
    TopicPlan("tax_007", "Finance", 0.30, -0.12),
    TopicPlan("tax_008", "Support", 0.28, 0.08, 0.006),
    TopicPlan("tax_009", "Enhancement", 0.22, 0.05),
]
SUR_004_TOPICS = [
    TopicPlan("drv_001", "Ops", 0.30, -0.42),
    TopicPlan("drv_002", "Service", 0.25, 0.22),
    TopicPlan("drv_003", "Product", 0.25, -0.31),
    TopicPlan("drv_004", "Tech", 0.20, 0.15),
    TopicPlan("drv_005", "Billing", 0.20, -0.18),
]
SMALL_SURVEY_TOPICS = [
    TopicPlan("tax_002", "Logistics", 0.2, 0.0),
    TopicPlan("tax_003", "Product", 0.25, 0.0),
    TopicPlan("tax_005", "Product", 0.2, 0.0),
    TopicPlan("tax_008", "Support", 0.2, 0.0),
]

# survey, day: responses and mean sentiment the catalog shows
GOLDEN_DAYS = {
    ("sur_001", date(2026, 2, 1)): (150, 0.45),
    ("sur_001", date(2026, 2, 2)): (185, 0.42),
    ("sur_002", date(2026, 2, 1)): (45, 0.12),
    ("sur_002", date(2026, 2, 2)): (52, 0.15),
    ("sur_003", date(2026, 2, 1)): (12, -0.10),
}


@dataclass
class Response:
    """One survey response while it is being made."""

    response_id: str
    survey_id: str
    tenant_id: str
    customer_id: str
    submitted_at: datetime
    received_at: datetime
    topics: list[TopicPlan]
    score: float | None = None
    csat: int | None = None
    nps: int | None = None
    emotions: tuple[float, float, float] | None = None
    text: str = ""
    fixed: bool = field(default=False)  # a row of the catalog: its scores stay as they are


# --- people ---------------------------------------------------------------------------------------------------------

FIRST_NAMES = [
    "Anna", "Ben", "Carla", "David", "Elena", "Farid", "Grace", "Hana", "Ivan", "Julia", "Karim", "Leila", "Marco",
    "Nadia", "Oscar", "Priya", "Quentin", "Rosa", "Samuel", "Tigist", "Umar", "Vera", "Walid", "Ximena", "Yusuf",
    "Zoe", "Abebe", "Bruna", "Chen", "Dalia",
]  # fmt: skip
LAST_NAMES = [
    "Keller", "Okafor", "Marino", "Lindqvist", "Haddad", "Novak", "Silva", "Tanaka", "Bekele", "Fischer", "Moreau",
    "Petrov", "Castillo", "Nguyen", "Osei", "Rahman", "Sorensen", "Tesfaye", "Ueda", "Varga", "Wolff", "Yilmaz",
    "Zamora", "Abara", "Brandt", "Costa", "Dimitrov", "Eklund",
]  # fmt: skip


@dataclass(frozen=True)
class Person:
    """A customer who answers surveys."""

    id: str
    tenant_id: str
    email: str
    name: str
    health_score: str


def make_people(rng: random.Random) -> dict[str, list[Person]]:
    """Customers by tenant: distinct names within a tenant, so that a name in a text points at one person."""
    sizes = {ACME: 160, GLOBAL_TECH: 70, STARK: 40, WAYNE: 120, CYBERDYNE: 20}
    people: dict[str, list[Person]] = {}
    number = 1001
    for tenant, size in sizes.items():
        names = rng.sample([(first, last) for first in FIRST_NAMES for last in LAST_NAMES], size)
        people[tenant] = []
        for first, last in names:
            health = str(rng.randint(20, 98)) if rng.random() < 0.7 else "NULL"
            email = f"{first}.{last}@example.{rng.choice(['com', 'org', 'net'])}".lower()
            people[tenant].append(Person(f"cust_{number}", tenant, email, f"{first} {last}", health))
            number += 1
    return people


# --- words ----------------------------------------------------------------------------------------------------------

TOPIC_WORDS: dict[str, tuple[list[str], list[str]]] = {
    "tax_002": (
        ["Shipping was quicker than promised.", "Delivery came a day early."],
        ["My parcel arrived late again.", "Shipping took ages.", "It took two weeks to arrive."],
    ),
    "tax_003": (
        ["The build quality is excellent."],
        ["It broke after three days.", "Build quality has gone down."],
    ),
    "tax_005": (
        ["The AI summary saves me an hour a day."],
        ["The suggestions are wrong half of the time.", "The AI summary missed the point."],
    ),
    "tax_006": (
        ["The app is fast now.", "Every page loads in a second.", "The new version of the app is so much smoother."],
        ["The app crashes when I open a report.", "It crashes on startup since the update."],
    ),
    "tax_007": (
        ["The refund came within a day.", "The new invoice is easy to read."],
        ["I was charged twice this month.", "The invoice does not match my plan.", "Still waiting for my refund."],
    ),
    "tax_008": (
        ["The agent solved it in one call.", "Your support rep was polite and quick."],
        ["The agent did not read my ticket.", "The support rep was rude."],
    ),
    "tax_009": (
        ["Would love to see a calendar view.", "Please add a dark theme for charts, the rest is great."],
        [
            "Please add bulk edit, I do everything by hand.",
            "I have asked for a year: please add offline mode.",
        ],
    ),
    "drv_001": (
        ["No shipping delay this time."],
        ["Another late delivery.", "My order was delayed and nobody told me.", "The shipping delay cost me a client."],
    ),
    "drv_002": (
        ["The lady on the phone truly understood my problem.", "Someone finally listened to me."],
        ["Nobody listened to me."],
    ),
    "drv_003": (
        ["The missing feature I asked for is here at last."],
        ["I cannot export to Excel.", "There is always one missing feature.", "We cannot export our own data."],
    ),
    "drv_004": (
        ["The screens feel snappy.", "The interface is quick."],
        ["The old interface was more snappy."],
    ),
    "drv_005": (
        ["The new pricing is fair."],
        ["It got too expensive for a team of three.", "I do not understand the pricing."],
    ),
}
GENERAL_WORDS: tuple[list[str], list[str], list[str]] = (
    ["Very happy with it.", "Great product, thank you!", "I recommend it to everyone.", "Love it 😊", "Best in class."],
    ["It is fine.", "Does what it should.", "No strong opinion.", "OK so far.", "Average."],
    [
        "Really disappointed.",
        "This has to get better.",
        "I am thinking of leaving.",
        "Frustrating 😡",
        "Not acceptable.",
    ],
)
CONTACT_WORDS = [
    "Reach me at {email}.",
    "Call me on +1 415 555 {four}.",
    "Please write to {email}, {name}.",
    "Regards, {name}",
    "My IP is 203.0.113.{two}, in case you need it.",
    "I also wrote to @acme_help about it.",
    "You can phone me: (020) 7946 0{three}.",
]
UNSCORED_TEXTS = [
    "የመተግበሪያው ፍጥነት በጣም ጥሩ ነው",
    "የመተግበሪያው አዲስ ስሪት አይሰራም",
    "التوصيل كان بطيئا جدا هذه المرة",
    "شكرا، خدمة ممتازة",
    "המשלוח הגיע מאוחר, אבל השירות היה אדיב",
    "👍👍👍",
    "😡",
    "",
    "The app is fast but the battery drains.",
    "Terrible update: it crashes on startup!!!",
    "Not bad at all, I kind of like it.",
    "MOBILE LOGIN NEVER WORKS",
    "Schöne App, aber der Versand war spät.",
    "ok",
    "I can't say it is good, I can't say it is bad.",
]


def words_for(rng: random.Random, response: Response, person: Person) -> str:
    """A text that fits the topics and the score, now and then with contact data in it (which must be redacted)."""
    score = response.score if response.score is not None else 0.0
    sentences = [rng.choice(TOPIC_WORDS[topic.topic_id][0 if score > 0.1 else 1]) for topic in response.topics]
    mood = 0 if score > 0.3 else 2 if score < -0.3 else 1
    if not sentences or rng.random() < 0.5:
        sentences.append(rng.choice(GENERAL_WORDS[mood]))
    if rng.random() < 0.05:
        sentences.append(
            rng.choice(CONTACT_WORDS).format(
                email=person.email,
                name=person.name,
                four=f"{rng.randint(100, 199):04d}",
                three=f"{rng.randint(0, 999):03d}",
                two=rng.randint(1, 254),
            )
        )
    return " ".join(sentences)


# --- responses ------------------------------------------------------------------------------------------------------


class Numbering:
    """Response ids after the catalog's five."""

    def __init__(self) -> None:
        self._next = 1001

    def take(self) -> str:
        """The next free id."""
        self._next += 1
        return f"res_{self._next - 1}"


def moment(rng: random.Random, day: date) -> tuple[datetime, datetime]:
    """When a response of that day was submitted and, some minutes or hours later, received."""
    submitted = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=rng.randint(0, 86_000))
    received = submitted + timedelta(seconds=int(rng.expovariate(1 / 1800)) + 2)
    return submitted, min(received, LAST_MOMENT)


def deal_responses(
    rng: random.Random,
    numbering: Numbering,
    survey_id: str,
    people: Sequence[Person],
    topics: Sequence[TopicPlan],
    first_day: date,
    a_day: int,
) -> list[Response]:
    """Responses for every day from first_day on, with topics dealt but without scores."""
    responses = []
    day = first_day
    while day <= LAST_MOMENT.date():
        count = GOLDEN_DAYS.get((survey_id, day), (a_day, 0.0))[0]
        if day >= date(2026, 2, 9):
            count *= 3  # the last week has only two days: enough answers for a weekly figure
        for _ in range(count):
            person = rng.choice(people)
            submitted, received = moment(rng, day)
            touched = [topic for topic in topics if rng.random() < topic.share]
            responses.append(
                Response(numbering.take(), survey_id, person.tenant_id, person.id, submitted, received, touched)
            )
        day += timedelta(days=1)
    return responses


def fix_catalog_row(
    responses: Iterable[Response],
    response_id: str,
    day: date,
    score: float,
    emotions: tuple[float, float, float],
    customer_id: str,
    text: str,
) -> None:
    """Turn the first response of that day that touches no topic into a row of the catalog's survey_sentiment sample."""
    row = next(r for r in responses if r.submitted_at.date() == day and not r.topics and not r.fixed)
    row.response_id, row.score, row.emotions = response_id, score, emotions
    row.customer_id, row.text, row.fixed = customer_id, text, True


def impact_weights(members: NDArray[np.bool_], touching: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The row of weights w with w @ scores = mean(members) - mean(members that do not touch the topic)."""
    others = members & ~touching
    return members / members.sum() - others / others.sum()


def solve_scores(
    rng: random.Random, responses: list[Response], topics: Sequence[TopicPlan], start: Callable[[Response], float]
) -> None:
    """Give each response a score in [-0.99, 0.99] so that the catalog's daily means and the topics' impacts hold.

    Scores start from `start` plus noise and move by the least squares amount that satisfies all equations; clipping
    breaks the equations a little, so both are repeated until neither has anything left to do.
    """
    days = np.array([r.submitted_at.date().toordinal() for r in responses])
    weeks = (days - FIRST_WEEK.toordinal()) // 7
    everyone = np.ones(len(responses), dtype=bool)
    touching = {t.topic_id: np.array([t in r.topics for r in responses]) for t in topics}
    survey_id = responses[0].survey_id

    rows, targets = [], []
    for (survey, day), (_, mean) in GOLDEN_DAYS.items():
        if survey == survey_id:
            members = days == day.toordinal()
            rows.append(members / members.sum())
            targets.append(mean)
    for topic in topics:
        if not topic.impact:
            continue
        rows.append(impact_weights(everyone, touching[topic.topic_id]))
        targets.append(topic.impact)
        # weekly impacts move by the slope (or swing without direction) around a level that suits the whole
        course = {
            int(week): topic.weekly_slope * week + rng.gauss(0, 0.012)
            if topic.weekly_slope
            else (0.012 if week % 2 else -0.012)
            for week in np.unique(weeks)
        }
        level = topic.impact - sum(course[int(week)] for week in weeks) / len(weeks)
        for week, offset in course.items():
            rows.append(impact_weights(weeks == week, touching[topic.topic_id]))
            targets.append(level + offset)

    matrix, wanted = np.array(rows), np.array(targets)
    fixed = np.array([r.fixed for r in responses])
    scores = np.array([r.score if r.fixed and r.score is not None else start(r) + rng.gauss(0, 0.2) for r in responses])
    free = ~fixed
    solve = np.linalg.pinv(matrix[:, free])
    for _ in range(5000):
        scores = np.where(fixed, scores, scores.clip(-0.99, 0.99))
        missing = wanted - matrix @ scores
        if np.abs(missing).max() < 0.0005:
            break
        scores[free] += solve @ missing
    else:
        raise SystemExit(f"{survey_id}: no scores between -0.99 and 0.99 give the catalog's figures")
    for response, score in zip(responses, scores, strict=True):
        if not response.fixed:
            response.score = round(float(score), 2)


def solve_csat(rng: random.Random, responses: list[Response], topics: Sequence[TopicPlan]) -> None:
    """Give each response a CSAT of 1 to 5 so that the topics' leave-one-out impacts are the catalog's."""
    touching = {t.topic_id: np.array([t in r.topics for r in responses]) for t in topics}
    everyone = np.ones(len(responses), dtype=bool)
    weights = {t.topic_id: impact_weights(everyone, touching[t.topic_id]) for t in topics}
    csat = np.array([3.4 + sum(t.impact / t.share for t in r.topics) + rng.gauss(0, 0.6) for r in responses])
    csat = csat.round().clip(1, 5)
    own = {t.topic_id: [i for i, r in enumerate(responses) if t in r.topics and not r.fixed] for t in topics}
    for _ in range(3000):
        missing = {t.topic_id: t.impact - float(weights[t.topic_id] @ csat) for t in topics}
        topic_id = max(missing, key=lambda key: abs(missing[key]))
        if abs(missing[topic_id]) < 0.001:
            break
        step = 1 if missing[topic_id] > 0 else -1
        index = rng.choice([i for i in own[topic_id] if 1 <= csat[i] + step <= 5])
        csat[index] += step
    for response, value in zip(responses, csat, strict=True):
        response.csat = int(value)
        if not response.fixed:
            response.score = round(float(np.clip((value - 3) * 0.38 + rng.gauss(0, 0.12), -0.99, 0.99)), 2)


def share(value: float) -> float:
    """A probability at two decimals."""
    return round(min(0.99, max(0.0, value)), 2)


def finish(
    rng: random.Random, responses: list[Response], people: dict[str, Person], with_csat: float, with_nps: float
) -> None:
    """Add emotions, words and the answers to the scaled questions, in line with the score."""
    for r in responses:
        score = r.score if r.score is not None else 0.0
        if r.emotions is None and r.score is not None:
            r.emotions = (
                share(0.45 + 0.45 * score + rng.gauss(0, 0.06)),
                share(0.22 - 0.45 * score + rng.gauss(0, 0.06)),
                share(0.10 - 0.12 * score + rng.gauss(0, 0.04)),
            )
        if r.csat is None and rng.random() < with_csat:
            r.csat = min(5, max(1, round(3.2 + 1.7 * score + rng.gauss(0, 0.5))))
        if rng.random() < with_nps:
            r.nps = min(10, max(0, round(6.3 + 3.8 * score + rng.gauss(0, 1.2))))
        if not r.text:
            r.text = words_for(rng, r, people[r.customer_id])


def base_score(response: Response) -> float:
    """Where a score of the first survey starts: a mild liking, moved by what each topic does to those who touch it."""
    return 0.25 + sum(topic.impact / topic.share for topic in response.topics)


def make_responses(rng: random.Random, people: dict[str, list[Person]]) -> list[Response]:
    """The responses to all five surveys."""
    numbering = Numbering()
    by_id = {person.id: person for persons in people.values() for person in persons}

    nps = deal_responses(rng, numbering, "sur_001", people[ACME], SUR_001_TOPICS, FIRST_WEEK, 7)
    fix_catalog_row(
        nps, "res_001", date(2026, 2, 1), 0.85, (0.92, 0.01, 0.02), "cust_001", "Everything I need in one place."
    )
    fix_catalog_row(
        nps, "res_002", date(2026, 2, 2), -0.45, (0.05, 0.65, 0.12), "cust_002", "Too many clicks, and nobody answers."
    )
    solve_scores(rng, nps, SUR_001_TOPICS, base_score)

    retention = deal_responses(rng, numbering, "sur_002", people[GLOBAL_TECH], SMALL_SURVEY_TOPICS, date(2026, 1, 5), 3)
    fix_catalog_row(
        retention, "res_003", date(2026, 2, 1), 0.12, (0.35, 0.15, 0.05), "cust_003", "We will stay for another year."
    )
    solve_scores(rng, retention, SMALL_SURVEY_TOPICS, lambda _: 0.15 + rng.choice([-0.3, 0.0, 0.3]))

    exits = deal_responses(rng, numbering, "sur_003", people[STARK], SMALL_SURVEY_TOPICS, date(2026, 1, 5), 2)
    fix_catalog_row(
        exits, "res_004", date(2026, 2, 1), -0.92, (0.01, 0.95, 0.45), "cust_004", "I lost a week of work. Goodbye."
    )
    solve_scores(rng, exits, SMALL_SURVEY_TOPICS, lambda _: -0.1 + rng.choice([-0.4, 0.0, 0.4]))

    product = deal_responses(rng, numbering, "sur_004", people[WAYNE], SUR_004_TOPICS, FIRST_WEEK, 8)
    fix_catalog_row(
        product, "res_005", date(2026, 2, 2), 0.55, (0.65, 0.10, 0.05), "cust_005", "Solid, I use it every day."
    )
    solve_csat(rng, product, SUR_004_TOPICS)

    mobile = deal_responses(rng, numbering, "sur_005", people[CYBERDYNE], [], date(2026, 1, 12), 2)
    for index, response in enumerate(mobile):
        response.text = UNSCORED_TEXTS[index % len(UNSCORED_TEXTS)]

    finish(rng, nps, by_id, with_csat=0.6, with_nps=0.95)
    finish(rng, retention, by_id, with_csat=0.8, with_nps=0.0)
    finish(rng, exits, by_id, with_csat=0.7, with_nps=0.3)
    finish(rng, product, by_id, with_csat=0.0, with_nps=0.0)
    for response in mobile:
        response.csat = rng.randint(1, 5)
    # Some texts come without scores: never on the days and in the surveys whose figures the catalog shows.
    golden = {(survey, day) for survey, day in GOLDEN_DAYS}
    for response in retention + exits:
        if (response.survey_id, response.submitted_at.date()) not in golden and rng.random() < 0.1:
            response.score = response.emotions = None
    return nps + retention + exits + product + mobile


# --- signals --------------------------------------------------------------------------------------------------------

EVENT_TYPES = ["support_ticket", "intercom_chat", "app_store_review", "tweet_mention", "call_log"]
EVENT_PRODUCTS = ["p_001", "p_002", "p_005", None]


def make_events(rng: random.Random, people: dict[str, list[Person]], count: int) -> list[list[object]]:
    """Signals beside surveys: short texts about one topic each, for the aliases to find."""
    rows: list[list[object]] = []
    for number in range(count):
        person = rng.choice(people[rng.choice([ACME, GLOBAL_TECH, STARK, WAYNE])])
        topic_id = rng.choice(sorted(TOPIC_WORDS))
        mood = rng.choice([0, 1])
        summary = rng.choice(TOPIC_WORDS[topic_id][mood])
        if number % 12 == 0:
            summary += f" Answer to {person.email}, please."
        score = round(rng.uniform(0.2, 0.95) * (1 if mood == 0 else -1), 2)
        occurred, received = moment(rng, date(2025, 12, 1) + timedelta(days=rng.randint(0, 71)))
        rows.append(
            [
                f"evt_{1001 + number}",
                person.tenant_id,
                rng.choice(EVENT_TYPES),
                score,
                summary,
                person.id,
                stamp(occurred),
                stamp(received),
                rng.choice(EVENT_PRODUCTS),
            ]
        )
    return rows


# --- segments -------------------------------------------------------------------------------------------------------


def make_members(rng: random.Random, people: dict[str, list[Person]], responses: list[Response]) -> list[list[str]]:
    """Members of the catalog's five segments: the churn risks are those whose answers are the unhappiest."""
    scores: dict[str, list[float]] = defaultdict(list)
    for response in responses:
        if response.score is not None:
            scores[response.customer_id].append(response.score)
    rows = [["seg_001", f"cust_00{n}", "2025-10-01", ""] for n in (1, 3, 5)] + [
        ["seg_005", "cust_002", "2025-11-01", ""]
    ]
    homes = {"seg_001": ACME, "seg_002": STARK, "seg_003": WAYNE, "seg_004": GLOBAL_TECH}
    for segment, tenant in homes.items():
        for person in people[tenant]:
            if rng.random() < 0.6:
                left = "2026-01-15" if rng.random() < 0.08 else ""
                rows.append([segment, person.id, "2025-10-01", left])
    everyone = [person.id for persons in people.values() for person in persons if scores[person.id]]
    everyone.sort(key=lambda customer: (sum(scores[customer]) / len(scores[customer]), customer))
    rows += [["seg_005", customer, "2025-11-01", ""] for customer in everyone[:45]]
    return rows


# --- files ----------------------------------------------------------------------------------------------------------


def stamp(moment_: datetime) -> str:
    """ISO 8601 in UTC, to the second."""
    return moment_.strftime("%Y-%m-%dT%H:%M:%SZ")


def write(path: str, header: str, rows: Iterable[Sequence[object]]) -> None:
    """One CSV file below the seeds folder; None is an empty cell."""
    target = SEEDS / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(["" if cell is None else cell for cell in row] for row in rows)


def main() -> None:
    """Write all files."""
    rng = random.Random(20260210)
    people = make_people(rng)
    responses = make_responses(rng, people)
    responses.sort(key=lambda r: (r.survey_id, r.submitted_at, r.response_id))

    write(
        "customer_intelligence/customers/respondents.csv",
        "id,tenant_id,email,name,health_score",
        ([p.id, p.tenant_id, p.email, p.name, p.health_score] for persons in people.values() for p in persons),
    )
    write(
        "customer_intelligence/customer_events/signals.csv",
        "id,tenant_id,event_type,sentiment_score,summary,customer_id,occurred_at,received_at,product_id",
        make_events(random.Random(20260211), people, 150),
    )
    write("customer_intelligence/taxonomy_topics/more.csv", "id,label,parent_id,weight", TOPICS)
    write("customer_intelligence/topic_aliases.csv", "topic_id,alias,valid_from,valid_to", ALIASES)
    write("customer_intelligence/topic_overrides.csv", "topic_id,entity_id,score,assigned_at", OVERRIDES)
    write(
        "customer_intelligence/survey_responses.csv",
        "response_id,survey_id,tenant_id,customer_id,submitted_at,received_at,csat,nps_score,text,sentiment_score,"
        "joy,anger,fear",
        (
            [
                r.response_id,
                r.survey_id,
                r.tenant_id,
                r.customer_id,
                stamp(r.submitted_at),
                stamp(r.received_at),
                r.csat,
                r.nps,
                r.text,
                r.score,
                *(r.emotions or (None, None, None)),
            ]
            for r in responses
        ),
    )
    write(
        "customer_intelligence/survey_topics.csv",
        "survey_id,topic_id,response_id,category",
        ([r.survey_id, t.topic_id, r.response_id, t.category] for r in responses for t in r.topics),
    )
    write(
        "strategy/segment_members.csv",
        "segment_id,customer_id,valid_from,valid_to",
        make_members(rng, people, responses),
    )


if __name__ == "__main__":
    main()

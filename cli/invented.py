"""Rows of data that nobody publishes: salaries and reviews, made by rules that one can read."""

from __future__ import annotations

import random

SALARY_COLUMNS = ("employee", "management_years", "site", "monthly_salary")
BASE, A_YEAR, AT_COAST, SPREAD = 3_200, 145, 260, 400

REVIEW_COLUMNS = ("review_id", "product", "review", "stars")
STARS, STARS_WEIGHTS = (1, 2, 3, 4, 5), (12, 12, 18, 26, 32)
# A review speaks of its own number of stars, and now and then like one with a star more or less.
ASTRAY = 0.25
PARTS = {
    "book": ("plot", "ending", "paper", "cover", "story", "print"),
    "kettle": ("lid", "handle", "switch", "spout", "base", "whistle"),
    "lamp": ("light", "shade", "cable", "stand", "bulb", "colour"),
}
WORDS = {
    1: ("terrible", "useless", "broken", "awful", "a disgrace"),
    2: ("poor", "flimsy", "disappointing", "not good", "rather cheap"),
    3: ("okay", "average", "passable", "not bad", "nothing special"),
    4: ("good", "solid", "pleasant", "well made", "quite nice"),
    5: ("excellent", "perfect", "wonderful", "a delight", "not bad but brilliant"),
}
ENDS = {
    1: ("Sent it back!", "Never again.", "I want my money back."),
    2: ("I would not buy it again.", "I had hoped for more.", "Barely worth it."),
    3: ("It does what it must.", "Worth a try.", "Good and bad."),
    4: ("I would buy it again.", "Glad I bought it.", "Recommended."),
    5: ("I love it!", "Best I ever had.", "Bought a second one."),
}
STARTS = ("The {part} is {word}.", "I find the {part} {word}.", "{part}: {word}.")


def invent_salary(generator: random.Random) -> list[str]:
    """A manager whose salary grows by 145 a year, is 260 higher at the coast, and then varies."""
    years = round(min(40.0, generator.expovariate(1 / 9)), 1)
    site = "coast" if generator.random() < 0.4 else "inland"
    salary = BASE + A_YEAR * years + (AT_COAST if site == "coast" else 0)
    salary = max(salary + generator.gauss(0, SPREAD), 0)
    return [_identity(generator, "m"), f"{years:.1f}", site, f"{salary:.0f}"]


def invent_review(generator: random.Random) -> list[str]:
    """Some sentences on parts of a product, in words that go with the stars; no commas in it."""
    (stars,) = generator.choices(STARS, STARS_WEIGHTS)
    product = generator.choice(tuple(PARTS))
    sentences = []
    for part in generator.sample(PARTS[product], generator.randint(1, 3)):
        word = generator.choice(WORDS[_near(generator, stars)])
        sentence = generator.choice(STARTS).format(part=part, word=word)
        sentences.append(sentence[0].upper() + sentence[1:])
    if generator.random() < 0.7:
        sentences.append(generator.choice(ENDS[_near(generator, stars)]))
    return [_identity(generator, "r"), product, " ".join(sentences), str(stars)]


def _near(generator: random.Random, stars: int) -> int:
    if generator.random() >= ASTRAY:
        return stars
    return min(5, max(1, stars + generator.choice((-1, 1))))


def _identity(generator: random.Random, letter: str) -> str:
    return f"{letter}{generator.getrandbits(48):012x}"

"""Text to scenario without a model: synonyms choose a scenario of the library and change its weather, time and actors."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from core.errors import ZoetropeError
from driving.scenario import library, words
from driving.scenario.description import ActorSpec, Description, TrafficSpec
from driving.scenario.values import COLOURS, Range

LanguageModel = Callable[[str], str]
"""Prompt to answer."""
LONGEST = 20_000
"""Characters of an answer that are read at all."""


def parse(text: str, language_model: LanguageModel | None = None) -> Description:
    """The scenario that a sentence means.

    With a `language_model`, that writes the YAML instead; its answer is not trusted: it is checked like a user's file.
    Raises ZoetropeError saying what was understood if no scenario was.
    """
    if language_model is not None:
        return _ask(text, language_model)
    plain = " ".join(re.findall(r"[\w'-]+", text.lower()))
    weather, time = _first(words.WEATHER_WORDS, plain), _first(words.TIME_WORDS, plain)
    density, side = _first(words.DENSITY_WORDS, plain), _first(words.SIDE_WORDS, plain)
    name = _scenario(plain)
    if name is None:
        found = {"weather": weather, "time": time, "traffic": density, "side": side, "actors": ", ".join(_categories(plain))}
        understood = "; ".join(f"{k}: {v}" for k, v in found.items() if v not in (None, "")) or "nothing"
        raise ZoetropeError(f"text '{text}': names no scenario (understood: {understood}); known: {', '.join(library.names())}")
    description = library.load(name)
    if side and _side(description) not in (None, side):
        description = mirrored(description)
    if density is not None:
        description = replace(description, traffic=_denser(description.traffic, float(density)))
    return replace(
        description,
        text=" ".join(text.split()),
        weather=(str(weather),) if weather else description.weather,
        time=(str(time),) if time else description.time,
        actors=_recast(description.actors, plain),
    )


def mirrored(value: Any) -> Any:
    """A description, or any part of it, with left and right exchanged."""
    if isinstance(value, Range):
        return value
    if isinstance(value, tuple):
        return tuple(mirrored(v) for v in value)
    if not hasattr(value, "__dataclass_fields__"):
        return value
    swap = {"left": "right", "right": "left"}
    changed: dict[str, Any] = {}
    for f in fields(value):
        old = getattr(value, f.name)
        if f.name in ("offset", "side_step", "lateral", "turned"):
            changed[f.name] = Range(low=-old.high, high=-old.low)
        elif f.name in ("trajectory", "points"):
            changed[f.name] = tuple((seconds, ahead, -left) for seconds, ahead, left in old)
        elif f.name in ("lane", "to", "turn") and isinstance(old, str):
            changed[f.name] = re.sub(r"left|right", lambda m: swap[m[0]], old)
        elif f.name not in ("rig", "road", "traffic"):
            changed[f.name] = mirrored(old)
    return replace(value, **changed)


def _scenario(plain: str) -> str | None:
    best, most = None, 0
    for name, ways in words.SCENARIO_WORDS.items():
        size = max((len(way) for way in ways if all(_has(pattern, plain) for pattern in way)), default=0)
        size -= size * words.BACKDROPS.get(name, 0.0)
        if size > most:
            best, most = name, size
    return best


def _has(pattern: str, plain: str) -> bool:
    return re.search(rf"\b(?:{pattern})(?!\w)", plain) is not None


def _first(table: tuple[tuple[str, Any], ...], plain: str) -> Any:
    return next((meaning for pattern, meaning in table if _has(pattern, plain)), None)


def _categories(plain: str) -> dict[str, re.Match[str]]:
    """The categories named, in the order of the text."""
    found = {c: re.search(rf"\b(?:{pattern})(?!\w)", plain) for c, pattern in words.CATEGORY_WORDS.items()}
    hits = {c: m for c, m in found.items() if m}
    return dict(sorted(hits.items(), key=lambda hit: hit[1].start()))


def _side(description: Description) -> str | None:
    """From where the first actor comes."""
    match = re.search(r"left|right", description.actors[0].lane) if description.actors else None
    return match[0] if match else None


def _denser(traffic: TrafficSpec, times: float) -> TrafficSpec:
    scaled = {}
    for f in fields(traffic):
        span: Range = getattr(traffic, f.name)
        most = library.MOST_TRAFFIC[f.name]
        scaled[f.name] = Range(low=min(times * span.low, most), high=min(times * span.high, most))
    return TrafficSpec(**scaled)


def _recast(actors: tuple[ActorSpec, ...], plain: str) -> tuple[ActorSpec, ...]:
    """Give the roles to the categories, colours and numbers that the text names."""
    named, cast = _categories(plain), list(actors)
    for family in (words.VEHICLES, words.WALKERS):
        wanted = [c for c in named if c in family]
        roles = [i for i, spec in enumerate(cast) if spec.category[0] in family]
        free = [i for i in roles if not set(cast[i].category) & set(wanted)]
        if wanted and roles and len(free) == len(roles):
            cast[roles[0]] = replace(cast[roles[0]], category=(wanted[0],), size=None)
    for i, spec in enumerate(cast):
        hit = next((named[c] for c in spec.category if c in named), None)
        before = plain[: hit.start()].split()[-2:] if hit else []
        if hit and len(spec.category) > 1:
            cast[i] = spec = replace(spec, category=tuple(c for c in spec.category if c in named))
        for word in before:
            if word in COLOURS:
                cast[i] = spec = replace(spec, colour=COLOURS[word])
            if (count := words.NUMBERS.get(word) or (int(word) if word.isdecimal() else 0)) and spec.count.high > 1:
                cast[i] = spec = replace(
                    spec, count=Range(low=min(count, library.MOST_ALIKE), high=min(count, library.MOST_ALIKE))
                )
    return tuple(cast)


def _ask(text: str, language_model: LanguageModel) -> Description:
    example = (library.LIBRARY / "jaywalker_behind_van.yaml").read_text()
    prompt = (
        "Write a driving scenario as YAML, nothing else. Positions are relative to the ego as it starts; a number may be a"
        f" range {{low, high}}. An example:\n\n{example}\n"
        f"Events: {', '.join(library.EVENTS)}.\nThe scenario to write: {text}\n"
    )
    answer = language_model(prompt)
    if not isinstance(answer, str) or len(answer) > LONGEST:
        raise ZoetropeError(f"the language model's answer: expected YAML of at most {LONGEST} characters")
    fenced = re.search(r"```(?:ya?ml)?\n(.*?)```", answer, re.DOTALL)
    return library.parse_yaml(fenced[1] if fenced else answer, where="the language model's answer", name="described")

"""The words that the scenario grammar knows. Patterns are regular expressions over lower-case text, matched at word starts."""

from __future__ import annotations

VEHICLES = ("car", "van", "truck", "bus", "ambulance", "police", "motorcycle", "bicycle")
WALKERS = ("pedestrian", "child", "animal")

CATEGORY_WORDS: dict[str, str] = {
    "ambulance": r"ambulances?|paramedics?",
    "police": r"police( cars?)?|patrol cars?|cruisers?",
    "motorcycle": r"motor(cycl|bik)\w*|bikers?|moped\w*|scooters?",
    "bicycle": r"bicycl\w*|cyclists?|bikes?|bike riders?|push ?bikes?",
    "truck": r"trucks?|lorr(y|ies)|semis?",
    "bus": r"bus(es)?|coach(es)?",
    "van": r"vans?|minibus(es)?|transporters?",
    "car": r"cars?|sedans?|suvs?|taxis?|hatchbacks?|saloons?",
    "child": r"child(ren)?|kids?|boys?|girls?|toddlers?|schoolchild(ren)?",
    "pedestrian": r"pedestrians?|person|people|m[ae]n|wom[ae]n|jay ?walk\w*|someone|somebody|walkers?|adults?",
    "animal": r"animals?|dogs?|deer|cats?|cows?|sheep|moose|fox(es)?|wild boars?|horses?",
}
"""What names a category of actor."""

VEHICLE = r"(vehicles?|" + "|".join(CATEGORY_WORDS[c] for c in VEHICLES) + r"|drivers?)"
PERSON = r"(" + CATEGORY_WORDS["pedestrian"] + r"|" + CATEGORY_WORDS["child"] + r")"

SCENARIO_WORDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "cut_in": (
        (r"cut(s|ting)?[ -]in",),
        (r"cut(s|ting)? (me |us |off|in front)",),
        (r"(swerv|merg|squeez|mov|pull|chang|barg)\w* (\w+ )?(in front|into (my|our|the ego'?s?) lane|lanes? in front)",),
    ),
    "hard_brake_lead": (
        (r"(brak\w*|stop\w*|halt\w*)", r"(hard|sudden\w*|sharp\w*|abrupt\w*|emergency|slam\w*|full)"),
        (r"(slam\w*|stamp\w*|hit\w*) (on )?the brakes?",),
    ),
    "jaywalker_behind_van": (
        (r"jay ?walk\w*",),
        (PERSON, r"(steps?|walks?|runs?|darts?|emerg\w*|comes?|appears?|out) .*(behind|between)"),
        (PERSON, r"(steps?|walks?|runs?|darts?|cross\w*)", r"(behind|between|hidden|occluded)"),
    ),
    "cyclist_at_dusk": ((CATEGORY_WORDS["bicycle"],),),
    "wrong_way_driver": (
        (r"wrong[ -]?(way|side|direction)",),
        (r"ghost driver",),
        (r"(head[ -]on|against (the )?traffic|towards? (me|us) in (my|our) lane)",),
    ),
    "stalled_vehicle": (
        (VEHICLE, r"(stall\w*|broken? ?down|breakdown|immobile|stranded|abandoned|disabled|stationary|hazard lights)"),
        (r"breakdown",),
    ),
    "debris": ((r"(debris|rubble|lost (load|cargo)|tyre|tire|box(es)?|obstacles?|mattress)",),),
    "ambulance": (
        (r"(ambulance|paramedics?|siren|emergency vehicle|fire ?engine|rescue)",),
        (CATEGORY_WORDS["police"], r"(race|rush|speed|chas|overtak|pass|siren|pursuit)\w*"),
    ),
    "child_with_ball": ((r"(" + CATEGORY_WORDS["child"] + r")", r"(foot)?balls?"), (r"balls? (roll|bounc)\w*",)),
    "animal": ((CATEGORY_WORDS["animal"],),),
    "closed_lane": (
        (r"(lane|road)( \w+)? (clos\w*|block\w*)",),
        (r"clos\w* (\w+ )?lane",),
        (r"(road ?works?|construction|traffic cones?|cones|barriers?|work zone)",),
    ),
    "red_light_runner": (
        (r"(run|jump|ignor|cross|shoot|driv|rac)\w*", r"red( traffic)?( |-)?(light|signal)"),
        (r"red[ -]light[ -]runn\w*",),
    ),
    "sun_glare": ((r"(glare|dazzl\w*|blind\w*|low sun|sun (is )?low|against the sun|into the (setting |rising |low )?sun)",),),
    "dense_fog": ((r"(dense|thick|heavy|zero[ -]visibility) (fog|mist)", r"(brak|slow|crawl|traffic|lead|car|driv)\w*"),),
    "heavy_rain": ((r"(heavy rain\w*|pouring|downpour|cloudburst|torrential|rainstorm|thunderstorm)",),),
    "snow_at_night": ((r"(snow\w*|blizzard)", r"(night|midnight|dark)"),),
    "pedestrian_group_crossing": (
        (r"(group|crowd|several|many|bunch|school class|families|\w+) (of )?(people|pedestrians|children|kids)", r"cross\w*"),
        (r"(group|crowd|school class)", r"cross\w*"),
    ),
    "overtaking_motorcycle": (
        (CATEGORY_WORDS["motorcycle"], r"(overtak|pass|filter|lane[ -]split|speed|squeez|zip|weav|race)\w*"),
    ),
    "oncoming_left_turn": (
        (r"(oncoming|opposite)", r"(turn\w*|cross\w*)"),
        (r"turn\w* (left )?(across|in front of)",),
        (r"(unprotected left|left turn across)",),
    ),
    "ordinary": (
        (r"(ordinary|normal|usual|calm|uneventful|nothing|routine|everyday|quiet|regular)",),
        (r"(driv\w*|traffic|cruis\w*|commut\w*)",),
    ),
}
"""For each scenario of the library, ways to say it; a way holds if all its patterns are found. Where several scenarios are
meant, the one of more patterns counts, then the earlier one here."""
BACKDROPS: dict[str, float] = {"sun_glare": 0.6, "dense_fog": 0.6, "heavy_rain": 0.6, "snow_at_night": 0.6, "ordinary": 0.9}
"""Scenarios that are a setting, not a deed: by what share they count less; in 'a dog in heavy rain' the dog matters."""

WEATHER_WORDS: tuple[tuple[str, str], ...] = (
    (r"heavy rain\w*|pouring|downpour|cloudburst|torrential|rainstorm|thunderstorm|storm\w*", "heavy_rain"),
    (r"(dense|thick|heavy|zero[ -]visibility) (fog|mist)", "dense_fog"),
    (r"fog\w*|mist\w*|haz[ey]\w*", "fog"),
    (r"snow\w*|blizzard|sleet", "snow"),
    (r"rain\w*|drizzl\w*|wet|showers?", "rain"),
    (r"cloud\w*|overcast|gr[ea]y sk\w+", "cloudy"),
    (r"clear|sunny|blue sky|fine weather|bright", "clear"),
)
TIME_WORDS: tuple[tuple[str, str], ...] = (
    (r"low sun|sun (is )?low|glare|dazzl\w*|against the sun|into the \w* ?sun", "low_sun"),
    (r"dusk|evening|sunset|twilight|nightfall", "dusk"),
    (r"night\w*|midnight|after dark|in the dark|darkness", "night"),
    (r"dawn|sunrise|daybreak|morning", "dawn"),
    (r"day(time|light)?|noon|midday|afternoon", "day"),
)
DENSITY_WORDS: tuple[tuple[str, float], ...] = (
    (r"busy|heavy traffic|dense traffic|rush hour|crowded|congest\w*", 2.5),
    (r"empty|deserted|lonely|no traffic|light traffic|quiet", 0.0),
)
"""How many others are about, as a multiple of the scenario's own."""
SIDE_WORDS: tuple[tuple[str, str], ...] = (
    (r"(from|on|to) (the|my|our|its) left|left[ -]hand|leftmost|(the )?left lane", "left"),
    (r"(from|on|to) (the|my|our|its) right|right[ -]hand|rightmost|(the )?right lane", "right"),
)
_COUNTED = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NUMBERS: dict[str, int] = {word: n for n, word in enumerate(_COUNTED, start=2)}

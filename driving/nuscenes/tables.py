"""What nuScenes tables hold that is the same in every dataset, and the tokens that tie their records together.

Schema: https://github.com/nutonomy/nuscenes-devkit/blob/master/docs/schema_nuscenes.md
"""

from __future__ import annotations

import hashlib
from typing import Any

from driving.scene import CATEGORIES

Record = dict[str, Any]
TABLES = (
    "category",
    "attribute",
    "visibility",
    "instance",
    "sensor",
    "calibrated_sensor",
    "ego_pose",
    "log",
    "scene",
    "sample",
    "sample_data",
    "sample_annotation",
    "map",
)
SCENE_TABLES = ("instance", "calibrated_sensor", "ego_pose", "log", "scene", "sample", "sample_data", "sample_annotation")
"""Those whose every record belongs to one scene."""
EXTRA = "zoetrope"
"""Field of a record for what nuScenes has no place for; the devkit passes over it."""
LIDAR = "LIDAR_TOP"
KEYFRAME = 5
"""Every how many frames one is annotated: 2 Hz of 10."""
_VISIBILITY = (
    ("1", "v0-40", "0 and 40%"),
    ("2", "v40-60", "40 and 60%"),
    ("3", "v60-80", "60 and 80%"),
    ("4", "v80-100", "80 and 100%"),
)


def token(*parts: object) -> str:
    """32 hexadecimal digits that depend on `parts` alone, so that the same scene has the same tokens on every machine."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:32]


def visibility_token(share: float) -> str:
    """The level of a box of which `share` is not hidden."""
    return str(1 + (share >= 0.4) + (share >= 0.6) + (share >= 0.8))


def fixed_tables() -> dict[str, list[Record]]:
    """category, attribute and visibility: every kind of actor that a scene may hold, whether this dataset has it or not."""
    categories = sorted({c.nuscenes for c in CATEGORIES.values()})
    attributes = sorted({a for c in CATEGORIES.values() for a in c.attributes or ()})
    return {
        "category": [
            {"token": token("category", name), "name": name, "description": "", "index": 1 + index}
            for index, name in enumerate(categories)
        ],
        "attribute": [{"token": token("attribute", name), "name": name, "description": ""} for name in attributes],
        "visibility": [
            {"token": number, "level": level, "description": f"visibility of whole object is between {between}"}
            for number, level, between in _VISIBILITY
        ],
    }


def sensors(channels: set[str]) -> list[Record]:
    """The sensor table."""
    return [
        {"token": token("sensor", c), "channel": c, "modality": "lidar" if c == LIDAR else "camera"} for c in sorted(channels)
    ]

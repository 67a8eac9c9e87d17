"""The arm over the table: a SCARA (two links that turn, a hand that lifts and stays level and aligned) with two jaws.

World axes: x right, y away from the front camera, z up, metres; the table's top is z = 0. The hand's position is the point
between its finger tips.
"""

from __future__ import annotations

import numpy as np

BASE = (0.0, 0.36)
"""Where the column stands."""
LINK = 0.30
"""Length of each of the two links."""
HEIGHT = 0.18
"""Of the links above the table."""
SPEED = 0.25
"""Metres a second of the hand at full action, along each axis."""
JAW_SPEED = 0.12
"""Metres a second by which the jaws open or close at full action."""
JAW_OPEN = 0.06
"""Widest gap between the fingers."""
LOW = np.array([-0.20, -0.18, 0.010])
HIGH = np.array([0.20, 0.14, 0.120])
"""The box that the hand is kept in; all of it is within reach, away from the arm's singular poses."""
LEASH = 0.03
"""How far the commanded hand may run ahead of the true one, in metres: a blocked hand pushes with a bounded force."""
PROPRIOCEPTION = ("hand_x", "hand_y", "hand_z", "jaw")
"""Position of the hand and gap between the fingers, metres."""


def joints(x: float, y: float, z: float, jaw: float) -> np.ndarray:
    """Inverse kinematics: (6,) shoulder, elbow, wrist (radians), lift and the two fingers (metres); the elbow points left."""
    dx, dy = x - BASE[0], y - BASE[1]
    reach = dx * dx + dy * dy
    elbow = np.arccos(np.clip((reach - 2 * LINK**2) / (2 * LINK**2), -1, 1))
    shoulder = np.arctan2(dy, dx) - elbow / 2  # links of one length: the elbow sits on the bisector
    shoulder = (shoulder + np.pi / 2 + np.pi) % (2 * np.pi) - np.pi - np.pi / 2
    return np.array([shoulder, elbow, -shoulder - elbow, z, jaw / 2, jaw / 2])


def mjcf(colours: dict[str, str]) -> tuple[str, str]:
    """The arm as MJCF: its bodies and its actuators. `colours` holds `arm`, `hand` and `finger` as rgba text."""
    arm, hand, finger = (f'rgba="{colours[name]}"' for name in ("arm", "hand", "finger"))
    ghost = 'contype="0" conaffinity="0" group="1"'
    fingers = "".join(
        f"""
          <body name="finger_{side}" pos="{sign * 0.006} 0 0" gravcomp="1">
            <joint name="finger_{side}" type="slide" axis="{sign} 0 0" range="0 {JAW_OPEN / 2}" armature="0.05" damping="1"/>
            <geom type="box" size="0.006 0.011 0.025" pos="0 0 0.019" mass="0.03" {finger} group="1"
              friction="1.6 0.05 0.001" condim="4"/>
          </body>"""
        for side, sign in (("left", -1), ("right", 1))
    )
    bodies = f"""
    <geom name="column" type="cylinder" size="0.035 {HEIGHT / 2 + 0.02}" pos="{BASE[0]} {BASE[1]} {HEIGHT / 2 - 0.02}"
      {arm} {ghost}/>
    <body name="upper" pos="{BASE[0]} {BASE[1]} {HEIGHT + 0.022}" gravcomp="1">
      <joint name="shoulder" axis="0 0 1" armature="0.02"/>
      <geom type="capsule" fromto="0 0 0 {LINK} 0 0" size="0.022" mass="0.4" {arm} {ghost}/>
      <body name="fore" pos="{LINK} 0 -0.036" gravcomp="1">
        <joint name="elbow" axis="0 0 1" armature="0.02"/>
        <geom type="capsule" fromto="0 0 0 {LINK} 0 0" size="0.017" mass="0.25" {arm} {ghost}/>
        <body name="wrist" pos="{LINK} 0 {0.014 - HEIGHT}" gravcomp="1">
          <joint name="wrist" axis="0 0 1" armature="0.005"/>
          <geom type="cylinder" size="0.02 0.02" pos="0 0 {HEIGHT - 0.014}" mass="0.05" {hand} {ghost}/>
          <body name="hand" gravcomp="1">
            <joint name="lift" type="slide" axis="0 0 1" armature="0.1"/>
            <geom type="cylinder" size="0.010 0.075" pos="0 0 0.135" mass="0.1" {hand} {ghost}/>
            <geom type="box" size="0.036 0.015 0.010" pos="0 0 0.053" mass="0.1" {hand} {ghost}/>
            <site name="hand" size="0.001"/>{fingers}
          </body>
        </body>
      </body>
    </body>"""
    servos = (("shoulder", 90.0, ""), ("elbow", 60.0, ""), ("wrist", 4.0, ""), ("lift", 250.0, 'forcerange="-12 12"'))
    actuators = "".join(f'<position joint="{n}" kp="{kp}" dampratio="1" {limit}/>' for n, kp, limit in servos)
    actuators += "".join(
        f'<position joint="finger_{side}" kp="400" dampratio="1" forcerange="-5 5"/>' for side in ("left", "right")
    )
    return bodies, actuators

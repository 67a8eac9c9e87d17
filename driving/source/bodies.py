"""The body of every kind of actor."""

from __future__ import annotations

from collections.abc import Callable

from driving.scene import Actor
from driving.source.cycles import bicycle, motorcycle
from driving.source.limbs import Body, Part
from driving.source.mesh import Colour, Mesh
from driving.source.things import ball, barrier, cone, debris
from driving.source.vehicles import Size, bus, car, truck, van
from driving.source.walkers import animal, person


def body(actor: Actor) -> Body:
    """An actor's body; its number decides what its category, size and colour leave open."""
    return _BUILDERS[actor.category](actor)


def _rigid(build: Callable[[Size, Colour], Mesh]) -> Callable[[Actor], Body]:
    return lambda actor: Body((Part(mesh=build(actor.size, actor.colour)),))


_BUILDERS: dict[str, Callable[[Actor], Body]] = {
    "car": _rigid(car),
    "van": _rigid(van),
    "truck": _rigid(truck),
    "bus": _rigid(bus),
    "ambulance": _rigid(lambda size, colour: van(size, colour, beacons=True, stripe=(206, 40, 36))),
    "police": _rigid(lambda size, colour: car(size, colour, beacons=True, stripe=(30, 70, 170))),
    "motorcycle": motorcycle,
    "bicycle": bicycle,
    "pedestrian": person,
    "child": person,
    "animal": animal,
    "cone": _rigid(cone),
    "barrier": _rigid(barrier),
    "debris": _rigid(debris),
    "ball": _rigid(ball),
}

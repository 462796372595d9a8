"""The benchmarks' lists of targets, and the frames of OTB at which no run may start."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .readers.otb import OTB_FRAMES

ATTRIBUTES = {
    "IV": "illumination variation",
    "SV": "scale variation",
    "OCC": "occlusion",
    "DEF": "deformation",
    "MB": "motion blur",
    "FM": "fast motion",
    "IPR": "in-plane rotation",
    "OPR": "out-of-plane rotation",
    "OV": "out of view",
    "BC": "background clutter",
    "LR": "low resolution",
}
"""OTB's attributes of a whole sequence, and what they mean."""

_OTB2013 = """
    Basketball Bolt Boy Car4 CarDark CarScale Coke Couple Crossing David David2 David3 Deer Dog1 Doll
    Dudek FaceOcc1 FaceOcc2 Fish FleetFace Football Football1 Freeman1 Freeman3 Freeman4 Girl Ironman
    Jogging-1 Jogging-2 Jumping Lemming Liquor Matrix Mhyang MotorRolling MountainBike Shaking Singer1
    Singer2 Skating1 Skiing Soccer Subway Suv Sylvester Tiger1 Tiger2 Trellis Walking Walking2 Woman
"""

_TB50 = """
    Basketball Biker Bird1 BlurBody BlurCar2 BlurFace BlurOwl Bolt Box Car1 Car4 CarDark CarScale ClifBar
    Couple Crowds David Deer Diving DragonBaby Dudek Football Freeman4 Girl Human3 Human4-2 Human6 Human9
    Ironman Jump Jumping Liquor Matrix MotorRolling Panda RedTeam Shaking Singer2 Skating1 Skating2-1
    Skating2-2 Skiing Soccer Surfer Sylvester Tiger2 Trellis Walking Walking2 Woman
"""

_TB100_REST = """
    Bird2 BlurCar1 BlurCar3 BlurCar4 Board Bolt2 Boy Car2 Car24 Coke Coupon Crossing Dancer Dancer2
    David2 David3 Dog Dog1 Doll FaceOcc1 FaceOcc2 Fish FleetFace Football1 Freeman1 Freeman3 Girl2 Gym
    Human2 Human5 Human7 Human8 Jogging-1 Jogging-2 KiteSurf Lemming Man Mhyang MountainBike Rubik
    Singer1 Skater Skater2 Subway Suv Tiger1 Toy Trans Twinnings Vase
"""

_VOT2014 = """
    ball basketball bicycle bolt car david diving drunk fernando fish1 fish2 gymnastics hand1 hand2
    jogging motocross polarbear skating sphere sunshade surfing torus trellis tunnel woman
"""

LISTS: dict[str, tuple[str, ...]] = {
    "otb2013": tuple(_OTB2013.split()),
    "tb50": tuple(_TB50.split()),
    "tb100": tuple(sorted((_TB50 + _TB100_REST).split())),
    "vot2014": tuple(_VOT2014.split()),
}
"""Targets by benchmark, named as `tracker.open_sequence` names them.

- `otb2013`: the 51 targets of Wu, Lim and Yang, CVPR 2013 ("CVPR13"; SINT++'s "OTB-50").
- `tb50` and `tb100`: the same authors' lists of 2015 (PAMI 37(9)); `tb50` is the harder half, not `otb2013`.
- `vot2014`: the 25 sequences of the VOT challenge 2014.
"""

INIT_OMIT: dict[str, str] = {
    "Basketball": "8-27 619-628 639-659",
    "CarScale": "155-177 202-225",
    "Coke": "7-44 71-78 162-167 183-192 197-201 219-227 250-275",
    "David3": "22-31 78-91 179-193 236-244",
    "Doll": "2552-2573 2632-2643 3714-3771",
    "Dudek": "204-218 357-372 971-988 1090-1116",
    "FaceOcc1": "23-75 81-148 168-239 272-325 349-411 437-593 613-783 814-892",
    "FaceOcc2": "79-90 128-185 247-278 391-520 681-740",
    "Football": "58-65 76-84 279-305 319-362",
    "Freeman4": (
        "7-8 16-17 25-26 34-38 42-51 61-74 81-82 102-103 116-117 126-130 142-148 156-168 181-181 184-188 "
        "205-207 239-256 268-297"
    ),
    "Girl": "421-443 451-469",
    "Ironman": "102-114 144-145 156-164",
    "Jogging-1": "61-83",
    "Jogging-2": "40-63",
    "Lemming": "299-379 427-460 552-560",
    "Liquor": (
        "383-410 502-510 604-608 723-735 768-779 1181-1187 1236-1238 1286-1289 1318-1321 1351-1358 "
        "1502-1507 1515-1521 1606-1609"
    ),
    "Matrix": "36-40",
    "RedTeam": "1521-1527",
    "Skating1": "154-189",
    "Soccer": "93-231 350-392",
    "Subway": "37-45 52-59 92-101",
    "Suv": "28-58 189-241 506-572 669-693 768-792",
    "Tiger1": (
        "1-5 9-15 18-29 40-46 56-66 100-113 119-128 134-155 167-186 203-218 226-241 248-255 288-314 "
        "318-322 332-354"
    ),
    "Tiger2": "72-76 80-118 124-153 165-190 196-203 207-225 233-276 285-321 325-340 346-365",
    "Walking": "81-94",
    "Walking2": "188-233 370-378",
    "Woman": "106-172 189-247 262-334 356-413 457-525 544-597",
}
"""Numbers of the frames (first-last) that are too occluded to start a run of TRE in, from the files `initOmit`
of the OTB authors' toolkit (github.com/jwlim/tracker_benchmark); other targets may start in any frame."""


def may_start(name: str, frames: int) -> NDArray[np.bool_]:
    """Tell in which frames the OTB authors let a run of TRE start.

    Args:
        name: The target.
        frames: How many frames are annotated.

    Returns:
        `bool[frames]`; all true for a target that is not in `INIT_OMIT`.

    >>> may_start("Matrix", 100).nonzero()[0][33:37].tolist()
    [33, 34, 40, 41]
    """
    allowed = np.ones(frames, dtype=bool)
    start = OTB_FRAMES.get(name, (1, None))[0]
    for part in INIT_OMIT.get(name, "").split():
        first, last = map(int, part.split("-"))
        allowed[max(first - start, 0) : max(last - start + 1, 0)] = False
    return allowed

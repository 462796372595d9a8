"""Checks of the installation.

Its import names are short, and pip does not notice when another distribution writes into the same folders
(`agents` is also the import name of openai-agents): the later one overwrites files of the earlier, and
uninstalling either deletes the other's.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import packages_distributions
from importlib.util import find_spec

DISTRIBUTION = "occlusion-search"
PACKAGES = ("agents", "occlusion_env", "tracker", "vae")


def examine(owners: Mapping[str, list[str]] | None = None) -> list[str]:
    """List every problem in one sentence each: second owners, damaged packages, no or a second OpenCV.

    Args:
        owners: Distributions by import name; the installed ones if `None`.

    >>> examine({name: ["occlusion-search"] for name in (*PACKAGES, "cv2")} | {"cv2": ["opencv-python"]})
    []
    """
    owners = packages_distributions() if owners is None else owners
    findings = []
    for package in PACKAGES:
        others = sorted(set(owners.get(package, [])) - {DISTRIBUTION})
        if others:
            findings.append(
                f"The import name '{package}' also belongs to {', '.join(others)}; install {DISTRIBUTION} into a"
                " virtual environment of its own."
            )
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            findings.append(
                f"The package '{package}' has no __init__.py, as after the removal of another distribution with"
                f" the same import name; install {DISTRIBUTION} again by pip install --force-reinstall --no-deps."
            )
    opencv = sorted(set(owners.get("cv2", [])))
    if not opencv:
        findings.append("OpenCV is missing; pip install opencv-python.")
    elif len(opencv) > 1:
        findings.append(
            f"{' and '.join(opencv)} share the import name 'cv2'; uninstall them all and install one again."
        )
    return findings

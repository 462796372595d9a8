"""The command `doctor`."""

from __future__ import annotations

import sys

from ..shared import Json


def doctor(json: Json = None) -> None:
    """Check the installation for conflicting packages.

    Reports a second owner of this package's import names, and no or a second OpenCV; the exit code is then 1.

    Examples:
        occlusion-search doctor
        occlusion-search doctor --json findings.json
    """
    from ...common.output import check_json_path
    from ...common.results import write_result
    from ...doctor import examine

    check_json_path(json)
    findings = examine()
    write_result(json, "doctor", {"findings": findings})
    for finding in findings:
        print(f"- {finding}")
    if findings:
        sys.exit(1)
    print("Nothing found: every import name has one owner.")

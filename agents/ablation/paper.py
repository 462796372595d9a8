"""The figures that the paper prints (Table 1, Fig. 5 and 6, section 5.3), and a run's on the same benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tracker.data.lists import LISTS

VOT = "VOT-2014"
BENCHMARKS = {"OTB-50": LISTS["otb2013"], "OTB-100": LISTS["tb100"], VOT: LISTS["vot2014"]}
"""Targets of the paper's benchmarks. Its OTB-50 is the benchmark of 2013 (its reference 44), with 51 targets."""


@dataclass(frozen=True)
class PaperRow:
    """A tracker's figures in the paper.

    Attributes:
        source: Table or figure that holds the row.
        benchmark: A name of `BENCHMARKS`.
        protocol: One-pass evaluation or 20 starts in time.
        arm: Our name of the training.
        precision: Precision at 20 pixels, in [0, 1]; `None` where no text or table states it.
        success: Area under the success curve, likewise. The legends of Fig. 5 and 6 are pictures.
    """

    source: str
    benchmark: str
    protocol: Literal["ope", "tre"]
    arm: str
    precision: float | None = None
    success: float | None = None

    @property
    def measures(self) -> dict[str, str]:
        """Our measures of its figures, by name; Fig. 6 has success plots alone."""
        if self.protocol == "tre":
            return {"success": f"auc, tre, {self.benchmark}"}
        names = {"precision": "precision", "success": "auc"}
        if self.benchmark == VOT:
            del names["precision"]
        return {name: f"{measure}, {self.benchmark}" for name, measure in names.items()}


PAPER = (
    PaperRow("Fig. 5 (a)", "OTB-50", "ope", "sint"),
    PaperRow("Fig. 5 (a)", "OTB-50", "ope", "vae"),
    PaperRow("Fig. 5 (a)", "OTB-50", "ope", "vae-random"),
    PaperRow("Table 1, Fig. 5 (a)", "OTB-50", "ope", "vae-hptn", 0.839, 0.624),
    PaperRow("Table 1", "OTB-50", "ope", "adv-net", 0.837, 0.622),
    PaperRow("Fig. 5 (b)", "OTB-100", "ope", "sint"),
    PaperRow("Fig. 5 (b), section 5.3", "OTB-100", "ope", "vae", 0.754, 0.558),
    PaperRow("Fig. 5 (b)", "OTB-100", "ope", "vae-random"),
    PaperRow("Table 1, Fig. 5 (b)", "OTB-100", "ope", "vae-hptn", 0.768, 0.574),
    PaperRow("Table 1", "OTB-100", "ope", "adv-net", 0.760, 0.567),
    PaperRow("Fig. 6 (a)", "OTB-100", "tre", "sint"),
    PaperRow("Fig. 6 (a)", "OTB-100", "tre", "vae"),
    PaperRow("Fig. 6 (a)", "OTB-100", "tre", "vae-random"),
    PaperRow("Fig. 6 (a)", "OTB-100", "tre", "vae-hptn"),
    PaperRow("Fig. 6 (b)", VOT, "ope", "sint"),
    PaperRow("Fig. 6 (b)", VOT, "ope", "vae"),
    PaperRow("Fig. 6 (b)", VOT, "ope", "vae-random"),
    PaperRow("Fig. 6 (b)", VOT, "ope", "vae-hptn"),
)


def compare_with_paper(means: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Put a run's figures beside the paper's.

    Args:
        means: The run's figures by arm and measure.

    Returns:
        For each row of `PAPER` its attributes, and under `precision` and `success` the figure of the `paper` and
        `ours`; `None` where there is none.
    """
    return [
        asdict(row)
        | {
            name: {"paper": getattr(row, name), "ours": means.get(row.arm, {}).get(row.measures.get(name, ""))}
            for name in ("precision", "success")
        }
        for row in PAPER
    ]

"""Quality of bars: checks that find defects, a report that shows them, repairs that are asked for by name."""

from gwt_lab.data.quality.check import check_bars
from gwt_lab.data.quality.findings import CHECKS, Finding
from gwt_lab.data.quality.repairs import REPAIRS, RepairLog, repair_bars
from gwt_lab.data.quality.report import QualityReport

__all__ = ["CHECKS", "REPAIRS", "Finding", "QualityReport", "RepairLog", "check_bars", "repair_bars"]

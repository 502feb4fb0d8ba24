"""Bars out of the files that people have; what could be read in two ways is refused with the reason."""

from gwt_lab.data.importers.files import REPAIRS, Imported, import_bars, import_files
from gwt_lab.data.importers.table import Ask
from gwt_lab.data.importers.times import TimeReading

__all__ = ["REPAIRS", "Ask", "Imported", "TimeReading", "import_bars", "import_files"]

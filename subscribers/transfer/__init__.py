"""People in and out as CSV files, with a line and a reason for each row that is refused."""

from subscribers.transfer.export import ExportOptions, export_csv
from subscribers.transfer.importing import Progress, import_csv
from subscribers.transfer.options import ImportOptions
from subscribers.transfer.report import ImportReport, Refused
from subscribers.transfer.suppressing import SuppressReport, suppress_file

__all__ = [
    "ExportOptions",
    "ImportOptions",
    "ImportReport",
    "Progress",
    "Refused",
    "SuppressReport",
    "export_csv",
    "import_csv",
    "suppress_file",
]

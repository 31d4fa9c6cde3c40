"""People in and out as CSV files, with a line and a reason for each row that is refused."""

from subscribers.transfer.importing import Progress, import_csv
from subscribers.transfer.options import ImportOptions
from subscribers.transfer.report import ImportReport, Refused

__all__ = ["ImportOptions", "ImportReport", "Progress", "Refused", "import_csv"]

"""A study's cells compared with its baseline, from the files of its folder alone: no torch, no model, no photos."""

from doublevit.report.study.compare import Line, compare
from doublevit.report.study.record import Entry, Record, read_record, write_record
from doublevit.report.study.table import study_table, write_tables

__all__ = ["Entry", "Line", "Record", "compare", "read_record", "study_table", "write_record", "write_tables"]

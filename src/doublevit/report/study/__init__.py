"""A study's cells compared with its baseline, from the files of its folder alone: no torch, no model, no photos."""

from doublevit.report.study.compare import Line, compare
from doublevit.report.study.formats import terminal_table, write_tables
from doublevit.report.study.record import Entry, Record, read_record, write_record

__all__ = ["Entry", "Line", "Record", "compare", "read_record", "terminal_table", "write_record", "write_tables"]

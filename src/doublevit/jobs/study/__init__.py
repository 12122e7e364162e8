"""Studies: what is asked for (plan), its tasks, how far it is (book), how long it takes (outlook), doing it (run)."""

from doublevit.jobs.study.book import Book
from doublevit.jobs.study.outlook import Outlook
from doublevit.jobs.study.overview import overview
from doublevit.jobs.study.plan import Request
from doublevit.jobs.study.run import run_study

__all__ = ["Book", "Outlook", "Request", "overview", "run_study"]

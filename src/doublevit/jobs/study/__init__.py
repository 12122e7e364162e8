"""Studies: what is asked for (plan), how far it is (book), showing that (overview), doing it (run)."""

from doublevit.jobs.study.book import Book
from doublevit.jobs.study.overview import overview
from doublevit.jobs.study.plan import Request
from doublevit.jobs.study.run import run_study

__all__ = ["Book", "Request", "overview", "run_study"]

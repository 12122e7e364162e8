"""Attacks by transfer among several runs."""

import numpy as np

from doublevit.adversarial.transfer import Party, Tournament
from doublevit.corrupted.layout import describe_photos
from doublevit.errors import UserError
from doublevit.jobs.opening import Opened, measured_once, note_command, open_run
from doublevit.jobs.options import Transfer
from doublevit.results import Row


def transfer(options: Transfer) -> list[Row]:
    """Images made on each run, shown to all; a row for each pair, attack and epsilon, added to the results.

    Raises:
        UserError: a run cannot be opened, or they are not on the same photos.
    """
    opened = [open_run(path, options) for path in options.runs]
    for other in opened[1:]:
        _require_same_photos(opened[0], other)
    for each in opened:
        note_command(each.bench.run)
    parties = [Party(each.bench.run, each.bench.model, each.bench.subject) for each in opened]
    usual = [measured_once(each).hits["top-1"] for each in opened]
    tournament = Tournament(
        parties=parties,
        dataset=opened[0].photos,
        config=options.attack,
        seed=options.seed,
        batch_size=options.batch_size,
        resume=options.resume,
        strict=options.strict,
    )
    return tournament.rows(usual)


def _require_same_photos(one: Opened, other: Opened) -> None:
    mine, others = one.photos, other.photos
    same_kind = mine.class_ids == others.class_ids and mine.images.shape == others.images.shape
    if not same_kind or not np.array_equal(describe_photos(mine), describe_photos(others)):
        raise UserError(
            f"{one.bench.run.path} and {other.bench.run.path} are not on the same photos"
            f" ({mine.source}; {others.source}): images of one mean nothing to the other"
        )

"""`doublevit evaluate`, and how results are shown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from doublevit.augment import describe
from doublevit.cli.parse import parse
from doublevit.cli.terminal import STOPPED, fail, out, say
from doublevit.jobs.options import Evaluate, Transfer
from doublevit.progress import is_main_process
from doublevit.recipes import from_dict
from doublevit.run_folder import RunFolder

if TYPE_CHECKING:
    from doublevit.jobs.evaluate import Evaluated

CONTENTS = {
    "results.jsonl": "every number, with its interval",
    "predictions": "per photo",
    "attacks": "what fell to what, and images",
    "errors": "what is got wrong: classes, confusions, calibration, mistakes",
    "checkpoints": "weights",
    "log.jsonl": "the course of training",
    "recipe.json": "what it takes to repeat it, with environment.json",
}


def evaluate(arguments: Sequence[str]) -> None:
    """Accuracy of a run, clean, corrupted or attacked, with intervals: `evaluate RUN [options]`."""
    options = parse(Evaluate, "doublevit evaluate", arguments)
    from doublevit.jobs.evaluate import evaluate as measure

    try:
        evaluated = measure(options)
    except KeyboardInterrupt:
        fail("stopped; what was finished is kept: give the same command again to go on", STOPPED)
    show_result(RunFolder(options.run), evaluated)


def transfer(arguments: Sequence[str]) -> None:
    """Black box: each run on images made to fool the others, as a matrix: `transfer RUN RUN ... [options]`."""
    options = parse(Transfer, "doublevit transfer", arguments)
    from doublevit.jobs.transfer import transfer as measure

    try:
        rows = measure(options)
    except KeyboardInterrupt:
        fail("stopped; what was finished is kept: give the same command again to go on", STOPPED)
    if is_main_process():
        from doublevit.summary.attacks import transfer_tables

        for table in transfer_tables(rows):
            out.print(table)
        say("rows were added to the results of the run that each was tested on")


def show_result(folder: RunFolder, evaluated: "Evaluated") -> None:
    """Tables of what was measured, and what lies in the run's folder."""
    if not is_main_process():
        return
    from doublevit.summary.attacks import attack_table, describe_attack
    from doublevit.summary.results import cell_table, result_table, together_table

    recipe = from_dict(folder.recipe())
    note = f"trained with augmentation {describe(recipe.augment)}" if recipe.train.epochs else "not trained"
    out.print(result_table(evaluated.clean, folder.path, note))
    if evaluated.cells:
        out.print(cell_table(evaluated.cells))
        out.print(together_table(evaluated.together))
    if evaluated.attacked.rows:
        out.print(attack_table(evaluated.attacked.rows))
        say(f"  {describe_attack(evaluated.attacked.rows)}")
        for finding in evaluated.attacked.findings:
            say(f"  finding: {finding}")
    for part, meaning in CONTENTS.items():
        if (folder.path / part).exists():
            say(f"  {folder.path / part}  {meaning}")

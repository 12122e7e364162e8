"""All that is to be measured of a cell, in order."""

import dataclasses
from collections.abc import Iterator

from doublevit.attacks.config import AttackConfig
from doublevit.jobs.options import Evaluate
from doublevit.jobs.speed_options import Speed
from doublevit.jobs.study.attacked import Attacked
from doublevit.jobs.study.clean import Clean
from doublevit.jobs.study.corrupted import Corrupted
from doublevit.jobs.study.plan import Planned, Request
from doublevit.jobs.study.speeded import Speeded
from doublevit.jobs.study.task import Task

SECONDS = 1.0  # to time each of inference and training, of which a study has many


def make_tasks(request: Request, planned: Planned, whole: int) -> Iterator[Task]:
    """Of a cell that has a recipe: each sparse attention on clean photos, then the protocol, as it was trained.

    `whole` is how many photos there are to validate.
    """
    run, protocol = planned.run.path, request.protocol
    count = request.samples or request.photos or whole
    for top_k in planned.top_ks:
        yield Clean(request.evaluation(run, top_k), count)
    if protocol.corruptions:
        yield Corrupted(dataclasses.replace(request.evaluation(run), robustness=request.corrupting), count)
    if protocol.attacks:
        attacked = min(protocol.attack_samples, whole)
        attack = AttackConfig(protocol.attacks, epsilons=protocol.epsilons)
        yield Attacked(Evaluate(run, samples=attacked, attack=attack), attacked)
    if protocol.speed:
        yield Speeded(Speed(run, seconds=SECONDS))

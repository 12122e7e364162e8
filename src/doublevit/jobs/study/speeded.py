"""The task of a protocol with speed."""

import dataclasses

from doublevit.jobs.speed import measure_speed
from doublevit.jobs.speed_options import Speed
from doublevit.jobs.study.cost import Cost
from doublevit.jobs.study.task import Known
from doublevit.models.top_k import AS_TRAINED

LAST = "MACs"  # of its rows, which are written together


@dataclasses.dataclass(frozen=True)
class Speeded:
    """What the network costs on this machine."""

    options: Speed
    name = "speed"

    def done(self, known: Known) -> bool:
        """See `Task`; what was measured on another machine counts."""
        now = (known.subject.checkpoint, known.subject.top_k)
        return any(row.metric == LAST and (row.checkpoint, row.top_k) == now for row in known.rows)

    def do(self) -> None:
        """See `Task`."""
        measure_speed(self.options)

    def seconds(self, cost: Cost) -> float:
        """See `Task`: at least five batches each of inference and of training are timed, and some more come before."""
        size, least = self.options.batch_size, 2 * 5
        recognising, training = size * cost.recognise[AS_TRAINED], cost.step
        return cost.opening + sum(max(self.options.seconds, least * each) for each in (recognising, training))

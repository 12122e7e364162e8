"""Adversarial accuracy by epsilon, and the transfer matrix."""

from collections import Counter
from collections.abc import Iterator, Sequence

from doublevit.report.attacked import Attack, Transfer, Under, by_sort, epsilon_words, epsilons, transfers
from doublevit.report.candidates import Contender
from doublevit.report.measured import of_all_members
from doublevit.report.readings import Reading, cells, choose
from doublevit.report.table import Cell, Column, Table, share, text, words
from doublevit.results import Row

CAPTION = (
    "Share of photos in percent that are recognised and stay so, with 95 % intervals; {said}, n = {count:,}. An attack"
    " bounds robustness from above: a stronger one may find more. Bold: better than every row that was measured alike,"
    " by McNemar's test on the same photos (t test where there are several seeds; Holm, 5 %)."
)


def attack_table(contenders: Sequence[Contender], attack: Attack) -> Table | None:
    """One attack, a column for each epsilon; None where no network has it of all its seeds."""
    sizes = epsilons(contenders, attack)
    options = [of_all_members(one, lambda member: by_sort(member, attack)) for one in contenders]
    kept = [(one, mine) for one, mine in zip(contenders, choose(options), strict=True) if mine]
    if not kept:
        return None
    columns = [cells([_at(mine, size) for _, mine in kept]) for size in sizes]
    heads = tuple(Column(epsilon_words(attack, size), f"epsilon_{size:.6g}") for size in sizes)
    rows = zip([text(one.label) for one, _ in kept], *columns, strict=True)
    name, norm = attack
    said, _ = Counter(mine[0].said for _, mine in kept).most_common(1)[0]
    count = next(reading.count for _, (first, *_) in kept if first.said == said for reading in first.readings.values())
    return Table(
        name="-".join(filter(None, ["attack", name, norm])),
        title=f"Under attack: {name}{f' ({norm})' if norm else ''}, by epsilon",
        columns=(words("model"), *heads),
        rows=tuple(rows),
        caption=CAPTION.format(said=said, count=count),
        groups=tuple(one.group for one, _ in kept),
    )


def transfer_tables(contenders: Sequence[Contender]) -> Iterator[Table]:
    """For every attack and epsilon above 0: made on the network at the left, shown to the one above."""
    for number, transfer in enumerate(each for each in transfers(contenders) if each.epsilon):
        yield _matrix(transfer, number)


def _matrix(transfer: Transfer, number: int) -> Table:
    shown = list(dict.fromkeys(to for _, to in transfer.rows))
    made = list(dict.fromkeys(on for on, _ in transfer.rows))
    rows = tuple((text(on), *(_accuracy(transfer.rows.get((on, to))) for to in shown)) for on in made)
    epsilon = epsilon_words((transfer.name, transfer.norm), transfer.epsilon)
    count = next(iter(transfer.rows.values())).count
    return Table(
        name=f"transfer-{number + 1}-{transfer.name}-{transfer.norm}",
        title=f"Transfer: {transfer.name}, {transfer.norm} {epsilon}",
        columns=(words("made on"), *(Column(to, to) for to in shown)),
        rows=rows,
        caption=f"Share of photos recognised in percent, of images made on the network at the left; {transfer.said},"
        f" n = {count:,}.",
    )


def _accuracy(row: Row | None) -> Cell:
    return share(row.value, row.low, row.high, row.count) if row else Cell("-")


def _at(mine: list[Under], size: float) -> list[Reading]:
    return [one.readings[size] for one in mine] if all(size in one.readings for one in mine) else []

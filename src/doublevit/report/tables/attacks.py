"""Adversarial accuracy by epsilon, and the transfer matrix."""

from collections import Counter
from collections.abc import Iterator, Sequence

from doublevit.report.attacked import Attack, Transfer, Under, by_sort, epsilon_words, transfers
from doublevit.report.candidates import Contender
from doublevit.report.measured import of_all_members
from doublevit.report.readings import Reading, cells
from doublevit.report.table import Cell, Column, Table, share, text, words
from doublevit.results import Row

CAPTION = (
    "Share of photos in percent that are recognised and stay so, with 95 % intervals; {said}, n = {count:,}. An attack"
    " bounds robustness from above: a stronger one may find more. Bold: better than every row that was measured alike,"
    " by McNemar's test on the same photos (t test where there are several seeds; Holm, 5 %)."
)


def attack_tables(contenders: Sequence[Contender], attack: Attack) -> Iterator[Table]:
    """Of one attack: a table for each set of photos and knobs, with a column for each epsilon; the most used first."""
    options = [(one, of_all_members(one, lambda member: by_sort(member, attack))) for one in contenders]
    sorts = Counter(said for _, mine in options for said in mine)
    for number, (said, _) in enumerate(sorts.most_common()):
        kept = [(one, mine[said][1]) for one, mine in options if said in mine]
        yield _attack_table(kept, attack, said, f"-{number + 1}" if number else "")


def _attack_table(kept: Sequence[tuple[Contender, list[Under]]], attack: Attack, said: str, suffix: str) -> Table:
    sizes = sorted({size for _, mine in kept for one in mine for size in one.readings})
    columns = [cells([_at(mine, size) for _, mine in kept]) for size in sizes]
    heads = tuple(Column(epsilon_words(attack, size), f"epsilon_{size:.6g}") for size in sizes)
    name, norm = attack
    _, (first, *_) = kept[0]
    count = next(iter(first.readings.values())).count
    return Table(
        name="-".join(filter(None, ["attack", name, norm])) + suffix,
        title=f"Under attack: {name}{f' ({norm})' if norm else ''}, by epsilon",
        columns=(words("model"), *heads),
        rows=tuple(zip([text(one.label) for one, _ in kept], *columns, strict=True)),
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

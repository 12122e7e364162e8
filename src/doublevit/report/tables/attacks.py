"""Adversarial accuracy by epsilon, and the transfer matrix."""

from collections.abc import Iterator, Sequence

from doublevit.report.attacked import Attack, by_sort, epsilon_words, epsilons, transfers
from doublevit.report.candidates import Contender
from doublevit.report.measured import of_all_members, said_of_photos
from doublevit.report.readings import Reading, cells, choose
from doublevit.report.table import Cell, Column, Table, share, text, words
from doublevit.results import Row

CAPTION = (
    "Share of photos in percent that are recognised and stay so, with 95 % intervals; {said}, n = {count:,}. An attack"
    " bounds robustness from above: a stronger one may find more. Bold: better than every other row by McNemar's test"
    " on the same photos (Holm, 5 %)."
)


def attack_table(contenders: Sequence[Contender], attack: Attack) -> Table:
    """One attack, a column for each epsilon."""
    sizes = epsilons(contenders, attack)
    options = [of_all_members(one, lambda member: by_sort(member, attack)) for one in contenders]
    kept = [(one, mine) for one, mine in zip(contenders, choose(options), strict=True) if mine]
    columns = [cells([_at(mine, size) for _, mine in kept]) for size in sizes]
    heads = tuple(Column(epsilon_words(attack, size), f"epsilon_{size:.6g}") for size in sizes)
    rows = zip([text(one.label) for one, _ in kept], *columns, strict=True)
    name, norm = attack
    said = next(reading for _, mine in kept for reading in mine[0].values())
    return Table(
        name="-".join(filter(None, ["attack", name, norm])),
        title=f"Under attack: {name}{f' ({norm})' if norm else ''}, by epsilon",
        columns=(words("model"), *heads),
        rows=tuple(rows),
        caption=CAPTION.format(said=said.said, count=said.count),
        groups=tuple(one.group for one, _ in kept),
    )


def transfer_tables(contenders: Sequence[Contender]) -> Iterator[Table]:
    """For every attack and epsilon above 0: made on the network at the left, shown to the one above."""
    for (name, norm, epsilon), pairs in transfers(contenders).items():
        if epsilon:
            yield _matrix(name, epsilon_words((name, norm), epsilon), norm, pairs)


def _matrix(name: str, epsilon: str, norm: str, pairs: dict[tuple[str, str], Row]) -> Table:
    shown = list(dict.fromkeys(to for _, to in pairs))
    made = list(dict.fromkeys(on for on, _ in pairs))
    rows = tuple((text(on), *(_accuracy(pairs.get((on, to))) for to in shown)) for on in made)
    heads = (words("made on"), *(Column(to, to) for to in shown))
    row = next(iter(pairs.values()))
    caption = f"Share of photos recognised in percent; images made on the network at the left; {said_of_photos(row)}."
    safe = epsilon.replace("/", "of")
    return Table(f"transfer-{name}-{norm}-{safe}", f"Transfer: {name}, {norm} {epsilon}", heads, rows, caption)


def _accuracy(row: Row | None) -> Cell:
    return share(row.value, row.low, row.high, row.count) if row else Cell("-")


def _at(mine: list[dict[float, Reading]], size: float) -> list[Reading]:
    return [readings[size] for readings in mine] if all(size in readings for readings in mine) else []

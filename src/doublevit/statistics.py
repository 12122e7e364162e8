"""What a count of right answers says about the truth."""


def wilson_interval(right: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a proportion, in 0..1.

    Unlike the textbook interval it stays inside 0..1 and keeps its coverage near 0 and 1 and for small `count`
    (Wilson 1927; Brown, Cai and DasGupta 2001).

    Raises:
        ValueError: `count` is not positive, or `right` is not in 0..count.
    """
    if count < 1 or not 0 <= right <= count:
        raise ValueError(f"expected 0 <= right <= count and count >= 1, found right={right}, count={count}")
    from statsmodels.stats.proportion import proportion_confint  # a slow import that few commands need

    low, high = proportion_confint(right, count, alpha=1 - confidence, method="wilson")
    return float(low), float(high)

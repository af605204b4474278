def doubling(attempt: int, *, base: float, cap: float) -> float:
    return min(cap, base * 2 ** min(attempt, 60))

"""The masks and the order of the blocks in plain Python, written from docs/masks.md alone.

Slow and obvious on purpose: Python's own integers, no tables, nothing of the core.
"""

from __future__ import annotations

import math

MASK64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
GAP, REPLACEMENT, PERMUTATION, CHOICE, SPAN, RATE = 1, 2, 3, 4, 5, 6
LN2 = 0.6931471805599453


def mix(z):
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK64
    return z ^ z >> 31


def absorb(state, word):
    return mix(state ^ mix((word + GOLDEN) & MASK64))


def key(purpose, seed, epoch, block):
    state = 0
    for word in (purpose, seed, epoch, block):
        state = absorb(state, word)
    return state


def at(key, index):
    return mix((key + (index + 1) * GOLDEN) & MASK64)


def below(key, index, count):
    return at(key, index) * count >> 64


def scale(probability):
    return int(probability * 2**64)


def thresholds(probability, count):
    rest, found = 1 << 64, []
    for _ in range(count):
        rest = rest * ((1 << 64) - scale(probability)) >> 64
        found.append(rest)
    return found


def fraction(value):
    return ((value >> 12) + 0.5) / 2**52


def log(x):
    mantissa, exponent = math.frexp(x)
    mantissa, exponent = mantissa * 2, exponent - 1
    if mantissa > 1.4142135623730951:
        mantissa, exponent = mantissa / 2, exponent + 1
    t = (mantissa - 1) / (mantissa + 1)
    series = 0.0
    for k in range(11, -1, -1):
        series = series * (t * t) + 1 / (2 * k + 1)
    return exponent * LN2 + 2 * t * series


def exp(x):
    whole = math.floor(x / LN2 + 0.5)
    rest, series = x - whole * LN2, 1.0
    for k in range(16, 0, -1):
        series = 1 + series * rest / k
    return math.ldexp(series, whole)


def beta(rate_key, a, b):
    width = max(1 / a, 1 / b) if min(a, b) <= 1 else math.sqrt((a + b - 2) / (2 * a * b - (a + b)))
    attempt = 0
    while True:
        u1 = fraction(at(rate_key, 2 * attempt))
        u2 = fraction(at(rate_key, 2 * attempt + 1))
        v = width * log(u1 / (1 - u1))
        w = a * exp(v)
        left = (a + b) * log((a + b) / (b + w)) + (a + 1 / width) * v - 2 * LN2
        if left >= log(u1 * u1 * u2):
            return w / (b + w)
        attempt += 1


def row_rate(rate, seed, epoch, block):
    """The rate of a row times 2^64, and whether it was drawn."""
    if not isinstance(rate, str):
        return scale(rate), False
    name, numbers = rate.split(":")
    first, second = map(float, numbers.split(","))
    rate_key = key(RATE, seed, epoch, block)
    if name == "uniform":
        first, second = scale(first), scale(second)
        return first + ((second - first) * at(rate_key, 0) >> 64), True
    return scale(beta(rate_key, first, second)), True


def shares(options):
    """The shares of the mask token, and of it and random words together, of 2^63."""
    hidden = scale(options["mask_replace_prob"]) >> 1
    return hidden, hidden + (scale(options["random_replace_prob"]) >> 1)


def hits(gap_key, options, count):
    """The places below `count` that a walk hits, and the kind of each hit."""
    probability = options["mlm_probability"]
    table, above = [], 1 << 64
    for below in thresholds(probability, 128):
        table += [above - ((above - below) * share >> 63) for share in shares(options)] + [below]
        above = below
    found, place, step = {}, 0, 0
    while scale(probability) and place < count:
        piece = at(gap_key, step // 4) >> 16 * (step % 4) & 0xFFFF
        value = (piece << 48) + (at(gap_key, (1 << 63) + step) >> 16)
        step += 1
        outcome = sum(value < threshold for threshold in table)
        place += outcome // 3
        if outcome < 384 and place < count:
            found[place] = outcome % 3
            place += 1
    return found


def find_units(ids, may, word_starts):
    """Lists of positions."""
    units = []
    for position, token in enumerate(ids):
        if not may[position]:
            continue
        follows = position > 0 and may[position - 1]
        if word_starts is not None and follows and not word_starts[token]:
            units[-1].append(position)
        else:
            units.append([position])
    return units


def choose_spans(units, span_key, options, rate):
    """For each chosen position the first position of its span."""
    count = sum(map(len, units))
    if options["masks_per_row"] is not None:
        budget = min(count, options["masks_per_row"])
    else:
        budget = count * rate + at(span_key, 0) >> 64
        budget = max(budget, min(count, 1) if options["at_least_one"] else 0)
    longest = options["max_span_length"]
    table = thresholds(options["span_probability"], longest)
    spans, attempt = {}, 0
    while budget > 0:
        first = below(span_key, 1 + 2 * attempt, len(units))
        value = at(span_key, 2 + 2 * attempt)
        attempt += 1
        start = units[first][0]
        if start in spans:
            continue
        scaled = value * ((1 << 64) - table[-1]) >> 64
        length = 1 + sum(scaled >= (1 << 64) - threshold for threshold in table[:-1])
        end = start
        for unit in units[first : first + length]:
            if unit[0] != end:
                break
            for position in unit:
                if position not in spans and budget > 0:
                    spans[position] = start
                    budget -= 1
            end = unit[-1] + 1
    return spans


def choose(ids, may, options, seed, epoch, block):
    """For each chosen position the one whose share decides; and the kinds of hits on tokens."""
    units = find_units(ids, may, options["word_starts"])
    choice = key(CHOICE, seed, epoch, block)
    rate, drawn = row_rate(options["mlm_probability"], seed, epoch, block)
    if options["mode"] == "span":
        return choose_spans(units, key(SPAN, seed, epoch, block), options, rate), {}
    if options["masks_per_row"] is not None:
        count = len(units)
        wanted = min(options["masks_per_row"], count)
        taken = set()
        for last in range(count - wanted, count):
            drawn = below(choice, last - (count - wanted), last + 1)
            taken.add(last if drawn in taken else drawn)
        return {units[number][0]: units[number][0] for number in taken}, {}
    gap_key, kinds = key(GAP, seed, epoch, block), {}
    if drawn:
        chosen = [unit for number, unit in enumerate(units) if at(gap_key, number) < rate]
        if options["mode"] == "token":
            chosen = [[x] for x, may_x in enumerate(may) if may_x and at(gap_key, x) < rate]
        chosen = [position for unit in chosen for position in unit]
    elif options["mode"] == "token":
        kinds = hits(gap_key, options, len(ids))
        chosen = [position for position in kinds if may[position]]
    else:
        chosen = [p for number in hits(gap_key, options, len(units)) for p in units[number]]
    if not chosen and options["at_least_one"] and units:
        chosen = units[below(choice, 0, len(units))]
    return {position: position for position in chosen}, kinds


DEFAULTS = {
    "special_ids": (),
    "mlm_probability": 0.15,
    "mask_replace_prob": 0.8,
    "random_replace_prob": 0.1,
    "mode": "token",
    "word_starts": None,
    "span_probability": 0.2,
    "max_span_length": 10,
    "masks_per_row": None,
    "at_least_one": False,
    "random_ids": "all",
}


def mask_row(ids, *, seed, epoch, block, mask_token_id, vocab_size, flags=None, **options):
    """A row's ids with the chosen tokens replaced, and its labels."""
    options = DEFAULTS | options
    special = set(options["special_ids"])
    may = [i not in special and not (flags and flags[x]) for x, i in enumerate(ids)]
    words = range(vocab_size)
    if options["random_ids"] == "ordinary":
        words = [word for word in words if word not in special | {mask_token_id}]
    replacement = key(REPLACEMENT, seed, epoch, block)
    masked, labels = list(ids), [-100] * len(ids)
    chosen, kinds = choose(ids, may, options, seed, epoch, block)
    for position, decider in chosen.items():
        share = (at(replacement, decider) * len(words) & MASK64) >> 1
        kind = kinds.get(position, sum(share >= end for end in shares(options)))
        labels[position] = ids[position]
        if kind == 0:
            masked[position] = mask_token_id
        elif kind == 1:
            masked[position] = words[at(replacement, position) * len(words) >> 64]
    return masked, labels


def permutation(count, seed, epoch, most=None):
    """The order of `count` blocks, as a list; with `most`, the first so many of them."""
    width = max(8, (count - 1).bit_length()) if count else 8
    left_bits, right_bits = width // 2, width - width // 2
    order_key = key(PERMUTATION, seed, epoch, 0)

    def step(value):
        left, right = value >> right_bits, value & ((1 << right_bits) - 1)
        for r in range(8):
            if r % 2 == 0:
                left ^= at(order_key, r << 32 | right) >> 64 - left_bits
            else:
                right ^= at(order_key, r << 32 | left) >> 64 - right_bits
        return left << right_bits | right

    order = []
    for index in range(count if most is None else most):
        value = step(index)
        while value >= count:
            value = step(value)
        order.append(value)
    return order

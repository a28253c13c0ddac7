"""The picture of `domains.py`, as SVG without any library."""

import math

COLOURS = {"fast": "#2563a8", "slow": "#c05a2b"}
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 760, 360, 70, 40, 60
DECADES = range(2, 8)  # powers of ten: 100 us to 10 s


def readable(us):
    if us < 1000:
        return f"{us:,.0f} us"
    return f"{us / 1000:,.1f} ms" if us < 1e6 else f"{us / 1e6:.1f} s"


def draw(told, marks):
    """Both domains over time: a line for p50, and a band from there to p99."""
    until = told[-1]["t"]

    def x(t):
        return LEFT + (WIDTH - LEFT - 20) * t / until

    def y(us):
        share = (max(2, min(7, math.log10(us))) - 2) / 5
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
             'font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="#fff"/>',
             f'<text x="{LEFT}" y="18" font-size="14">From send to delivery: p50 (line) to p99'
             '</text>']
    for decade in DECADES:
        at = y(10 ** decade)
        parts.append(f'<path d="M{LEFT} {at:.0f}H{WIDTH - 20}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 8}" y="{at + 4:.0f}" text-anchor="end">'
                     f'{readable(10 ** decade)}</text>')
    for number, (t, what) in enumerate(marks):
        parts.append(f'<path d="M{x(t):.0f} {TOP - 8}V{HEIGHT - BOTTOM}" stroke="#999" '
                     'stroke-dasharray="3"/>')
        if number in (0, len(marks) - 1):
            parts.append(f'<text x="{x(t):.0f}" y="{TOP - 12}">{what}</text>')
    for domain, colour in COLOURS.items():
        points = [(x(one["t"]), one[domain]) for one in told if one[domain]["messages"]]
        upper = [f"{at:.1f},{y(found['p99_us']):.1f}" for at, found in points]
        lower = [f"{at:.1f},{y(found['p50_us']):.1f}" for at, found in points]
        parts.append(f'<polygon points="{" ".join(upper + lower[::-1])}" fill="{colour}" '
                     'fill-opacity="0.25"/>'
                     f'<polyline points="{" ".join(lower)}" fill="none" stroke="{colour}" '
                     'stroke-width="2"/>')
        parts.append(f'<text x="{WIDTH - 40 - 50 * list(COLOURS).index(domain)}" y="18" '
                     f'text-anchor="middle" fill="{colour}">{domain}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 12}">0 s</text>'
                 f'<text x="{WIDTH - 20}" y="{HEIGHT - 12}" text-anchor="end">{until:.0f} s</text>'
                 '</svg>')
    return "\n".join(parts) + "\n"

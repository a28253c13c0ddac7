"""What the figures are held to: each against Corosync's in the same run where it was measured, or
for itself. A floor is what is promised; an aim is what is worked for."""

# Of floods: bytes, and the least of messages/s and MB/s.
FLOODS = [(64, 15, 50, None, None), (1024, 12, 40, None, None), (8192, 8, None, 400, 1000),
          (65536, None, None, 500, 1500), (1048576, None, None, 500, 1500)]
# Of paces, 256 bytes: messages/s of each member, what is measured, and the most of Corosync's.
PACES = [("anasazi", 1000, "p50_us", 0.42, 0.25), ("anasazi", 1000, "p99_us", 0.5, 0.3),
         ("anasazi", 100, "p50_us", 0.5, 0.25), ("in-process", 1000, "p50_us", 0.33, 0.18)]
# An engine in each program: of its own thread, or of the program's own loop; the better counts.
IN_PROCESS = ["in-process", "in-loop"]
FAIL_OVERS = [("daemon killed", 150, 30), ("host silent", 500, 200), ("client killed", 5, 1)]


class Verdicts:
    """Lines of one table."""

    def __init__(self):
        self.rows = []

    def add(self, what, value, unit, floor, aim, least=True):
        """`least`: more is better. A value of None could not be measured."""
        def reached(bound):
            return bound is not None and (value >= bound if least else value <= bound)
        if value is None:
            verdict = "not measured"
        elif reached(aim):
            verdict = "aim"
        elif floor is None or reached(floor):
            verdict = "floor"
        else:
            verdict = "BELOW"
        self.rows.append({"what": what, "value": value, "unit": unit, "floor": floor, "aim": aim,
                          "least": least, "verdict": verdict})


def judge(rows, fail_overs, scales, idles):
    """All of them, of what was measured."""
    verdicts = Verdicts()
    for length, floor, aim, floor_mb, aim_mb in FLOODS:
        ours, theirs = (find(rows, name, length) for name in ("anasazi", "corosync"))
        if floor:
            verdicts.add(f"{length} B, messages/s", ratio(ours, theirs, "messages_s"),
                         "x Corosync", floor, aim)
        if floor_mb:
            verdicts.add(f"{length} B", ours and ours["mb_s"], "MB/s", floor_mb, aim_mb)
    for length, *_ in FLOODS:
        agreed, safe = (find(rows, "anasazi", length, safe=safe) for safe in (False, True))
        verdicts.add(f"{length} B safe", ratio(safe, agreed, "messages_s"), "x agreed", 0.8, 0.95)
    for name, rate, what, floor, aim in PACES:
        names = IN_PROCESS if name == "in-process" else [name]
        found = [row for one in names if (row := find(rows, one, 256, rate=rate))]
        ours = min(found, key=lambda row: row[what], default=None)
        theirs = find(rows, "corosync", 256, rate=rate)
        name = ours["cluster"] if ours else name
        verdicts.add(f"{name}, {what[:3]} at {rate}/s of each", ratio(ours, theirs, what),
                     "x Corosync", floor, aim, least=False)
    lossy, whole = (find(rows, "anasazi", 1024, loss=loss) for loss in (1, None))
    verdicts.add("1 % of packets lost, 1024 B", ratio(lossy, whole, "messages_s"), "x without",
                 0.6, 0.9)
    for what, floor, aim in FAIL_OVERS:
        ours = next((one for one in fail_overs
                     if (one["cluster"], one["what"]) == ("anasazi", what)), None)
        verdicts.add(f"{what}, p99 of {len(ours['times_ms']) if ours else 0}",
                     ours and ours["p99_ms"], "ms", floor, aim, least=False)
    for scale in scales:
        verdicts.add(f"{scale['daemons']} daemons, cold start", scale["cold_start_s"], "s", 5, 1,
                     least=False)
        verdicts.add(f"{scale['daemons']} daemons, one lost", scale["loss_of_one_s"], "s", 1, 0.3,
                     least=False)
    for one in idles[:1]:
        verdicts.add("idle daemon", one["cpu_percent"], "% of a core", 1, 0.2, least=False)
        verdicts.add("its memory", one["resident_mb"], "MB", 30, 15, least=False)
    return verdicts.rows


def find(rows, cluster, length, *, rate=0, safe=False, loss=None):
    wanted = (cluster, length, rate, safe, loss, False)
    return next((row for row in rows if (row["cluster"], row["length"], row["rate"], row["safe"],
                                         row.get("loss"), row["one"]) == wanted), None)


def ratio(ours, theirs, what):
    return round(ours[what] / theirs[what], 3) if ours and theirs and theirs[what] else None


def table(rows):
    lines = [f"{'':38} {'measured':>20} {'floor':>8} {'aim':>8}"]
    for row in rows:
        value = "-" if row["value"] is None else f"{row['value']:,.3g} {row['unit']}"
        if row["value"] is not None and row["value"] >= 1000:
            value = f"{row['value']:,.0f} {row['unit']}"
        bounds = [("-" if bound is None else f"{bound:g}") for bound in (row["floor"], row["aim"])]
        lines.append(f"{row['what']:38} {value:>20} {bounds[0]:>8} {bounds[1]:>8}  "
                     f"{row['verdict']}")
    return "\n".join(lines)

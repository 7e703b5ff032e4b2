"""The numbers that are held on SQLite: each stands here, once, with its reason.

What is not named is 0. Those of Postgres stand in `numbers_on_postgres`.

Who means to change one changes it here, and puts what `python -m tests.counts.document` prints into
spec/nfr.md, where a meta test looks for it.
"""

from __future__ import annotations

from typing import Final

from tests.counts.cases import Case, Number

__all__ = ["KEPT", "ON_SQLITE"]

_CALLS: Final = "a twentieth above what it took: one more is no harm, many more are"

ON_SQLITE: Final = (
    Case(
        "guarded step",
        "guarded",
        (
            Number("commits", 1, "the result of the step before goes with the intent (INV-20)"),
            Number("syncs", 1, "of the -wal, for the commit"),
            Number("statements", 4, "BEGIN, UPDATE of the head, INSERT of both entries, COMMIT"),
            Number("hops", 1, "the whole batch is one job of the connection's thread"),
            Number("turns", 2, "the answer; who waits for it goes on, and behind him the writer"),
            Number("seals", 1, "the result; an intent has no payload"),
            Number("row hashes", 3, "a MAC for each of two rows, and the digest of a payload"),
            Number("anchor hashes", 1, "one for each batch of the execution"),
            Number("fingerprint hashes", 2, "the fingerprint, and the digest of the one argument"),
            Number("idempotency hashes", 1, "the key that is forwarded"),
            Number("objects", 10, "two entries, two of the queue, one batch, what a call is"),
            Number("calls", 172, _CALLS, at_most=True),
        ),
    ),
    Case(
        "workflow of five guarded steps",
        "guarded",
        (
            Number("commits", 6, "start + intent, four of result + intent, result + end (INV-20)"),
            Number("syncs", 6, "one for each commit"),
            Number("statements", 24, "four for each commit"),
            Number("largest batch", 4, "BEGIN, one for the head, one for the entries, COMMIT"),
            Number("hops", 6, "one for each commit"),
            Number("turns", 15, "two for each step, five for the workflow"),
            Number("tasks", 1, "that of the workflow's code"),
            Number("seals", 7, "input, five results, output"),
            Number("row hashes", 19, "a MAC for each of twelve rows, digests of seven payloads"),
            Number("anchor hashes", 6, "one for each commit"),
            Number("fingerprint hashes", 10, "two for each step"),
            Number("idempotency hashes", 5, "one for each step"),
            Number("objects", 73, "ten for each step, the rest for the workflow"),
            Number("calls", 1_140, _CALLS, at_most=True),
        ),
    ),
    Case(
        "idempotent step",
        "idempotent",
        (
            Number("seals", 1, "the result"),
            Number("row hashes", 2, "the row's MAC, and the digest of its payload"),
            Number("fingerprint hashes", 2, "the fingerprint, and the digest of the one argument"),
            Number("idempotency hashes", 1, "the key that is forwarded"),
            Number("objects", 4, "an entry, one of the queue, what a call is"),
            Number("calls", 68, _CALLS, at_most=True),
        ),
    ),
    Case(
        "workflow of five idempotent steps",
        "idempotent",
        (
            Number("commits", 1, "everything waits for the end, which is acknowledged"),
            Number("syncs", 1, "of the -wal, for the commit"),
            Number("statements", 4, "BEGIN, INSERT of the execution, one of its entries, COMMIT"),
            Number("largest batch", 4, "it is the only one"),
            Number("hops", 1, "one for the commit"),
            Number("turns", 5, "none for a step; three are those of the commit"),
            Number("seals", 7, "input, five results, output"),
            Number("row hashes", 14, "two for each of seven rows"),
            Number("anchor hashes", 1, "one for the commit"),
            Number("fingerprint hashes", 10, "two for each step"),
            Number("idempotency hashes", 5, "one for each step"),
            Number("objects", 43, "four for each step, the rest for the workflow"),
            Number("calls", 609, _CALLS, at_most=True),
        ),
    ),
    Case(
        "200 workflows of five guarded steps at once",
        "guarded-at-once",
        (
            Number("commits", 12, "six for those 128 that begin at once, and six for the others"),
            Number("syncs", 12, "one for each commit"),
            Number("statements", 48, "four for each commit, as for one of them alone"),
            Number("largest batch", 4, "BEGIN, one for the heads, one for the entries, COMMIT"),
            Number("hops", 24, "two for each commit: it has begun, it is done"),
            Number("turns", 58, "five for each commit, whatever is in it, less two"),
            Number("tasks", 400, "two for each: as alone, and that of `gather`"),
            Number("seals", 1_400, "seven for each"),
            Number("row hashes", 3_800, "nineteen for each"),
            Number("anchor hashes", 1_200, "six for each, as alone"),
            Number("fingerprint hashes", 2_000, "two for each step"),
            Number("idempotency hashes", 1_000, "one for each step"),
            Number("objects", 11_048, "those of a workflow alone, but for batches that are shared"),
            Number("calls", 158_000, _CALLS, at_most=True),
        ),
    ),
    Case(
        "200 workflows of five idempotent steps at once",
        "idempotent-at-once",
        (
            Number("commits", 2, "1,400 entries: of the 128 that begin at once, and of the others"),
            Number("syncs", 2, "one for each commit"),
            Number("statements", 9, "4 or 5 for each batch"),
            Number("largest batch", 5, "as with one head, and another one for those that begin"),
            Number("hops", 4, "two for each commit: it has begun, it is done"),
            Number("turns", 18, "not one of them for a step"),
            Number("tasks", 200, "one for each: that of `gather`"),
            Number("seals", 1_400, "seven for each"),
            Number("row hashes", 2_800, "fourteen for each"),
            Number("anchor hashes", 200, "one for each: all of it is in one batch"),
            Number("fingerprint hashes", 2_000, "two for each step"),
            Number("idempotency hashes", 1_000, "one for each step"),
            Number("objects", 8_008, "those of a workflow alone, but for batches that are shared"),
            Number("calls", 111_000, _CALLS, at_most=True),
        ),
    ),
    Case(
        "100 guarded steps in ten branches",
        "guarded-branches",
        (
            Number("commits", 20, "two for ten steps: they go together where they come together"),
            Number("syncs", 20, "one for each commit"),
            Number("statements", 80, "four for each commit"),
            Number("hops", 20, "one for each commit"),
            Number("turns", 390, "four for each: branches go on one after the other"),
            Number("tasks", 90, "for each the effect, which no cancellation may reach"),
            Number("seals", 100, "one for each step"),
            Number("row hashes", 300, "three for each step"),
            Number("anchor hashes", 20, "one for each commit"),
            Number("fingerprint hashes", 200, "two for each step"),
            Number("idempotency hashes", 100, "one for each step"),
            Number("objects", 760, "ten for each step, less what a shared batch saves"),
            Number("calls", 21_700, _CALLS, at_most=True),
        ),
    ),
    Case(
        "100 idempotent steps in ten branches",
        "idempotent-branches",
        (
            Number("turns", 10, "one for each branch: its steps wait for nothing"),
            Number("seals", 100, "one for each step"),
            Number("row hashes", 200, "two for each step"),
            Number("fingerprint hashes", 200, "two for each step"),
            Number("idempotency hashes", 100, "one for each step"),
            Number("objects", 400, "four for each step, as one after the other"),
            Number("calls", 11_500, _CALLS, at_most=True),
        ),
    ),
    Case(
        "100 steps resumed",
        "replay",
        (
            Number("commits", 2, "the claim, and the end"),
            Number("syncs", 2, "one for each commit"),
            Number("statements", 8, "the row, the claim, two segments, the end in four"),
            Number("largest batch", 4, "BEGIN, UPDATE of the head, INSERT, COMMIT"),
            Number("hops", 5, "the row, the claim, two segments, the end"),
            Number("turns", 21, "five for each segment, the rest whatever the length"),
            Number("tasks", 5, "one for each segment, the resume, the execution, its workflow"),
            Number("seals", 1, "the output"),
            Number("opens", 101, "each payload once, that of the arguments too"),
            Number("decodings", 101, "each value once, the arguments too"),
            Number("row hashes", 204, "two for each row, the last of which is new"),
            Number("anchor hashes", 4, "the row is checked three times, and its end is stamped"),
            Number("fingerprint hashes", 100, "one for each step, to compare"),
            Number("objects", 135, "one for each step, the rest for the execution"),
            Number("calls", 4_110, _CALLS, at_most=True),
        ),
    ),
    Case(
        "100 replayed steps",
        "replay",
        (
            Number("statements", 1, "a segment is read at once"),
            Number("hops", 1, "by one job of the reading connection's thread"),
            Number("turns", 5, "the look-up that reads waits for a task, and that for the thread"),
            Number("tasks", 1, "the read that look-ups share"),
            Number("opens", 100, "each payload once"),
            Number("decodings", 100, "each value once"),
            Number("row hashes", 200, "each row's MAC once, and the digest of its payload"),
            Number("fingerprint hashes", 100, "one for each step, to compare"),
            Number("objects", 100, "one for each step"),
            Number("calls", 3_640, _CALLS, at_most=True),
        ),
    ),
    Case(
        "100 replayed guarded steps in ten branches",
        "guarded-branches",
        (
            Number("statements", 2, "an intent and a result for each step: two segments"),
            Number("hops", 2, "one for each statement"),
            Number("turns", 18, "those of the read, and few for the answers, which come together"),
            Number("tasks", 2, "a read for each segment, which all share"),
            Number("opens", 100, "each payload once"),
            Number("decodings", 100, "each value once"),
            Number("row hashes", 300, "two MACs for each step, and the digest of a payload"),
            Number("fingerprint hashes", 100, "one for each step, to compare"),
            Number("objects", 106, "one for each step"),
            Number("calls", 8_240, _CALLS, at_most=True),
        ),
    ),
    Case(
        "100 replayed idempotent steps in ten branches",
        "idempotent-branches",
        (
            Number("statements", 1, "a segment is read at once"),
            Number("hops", 1, "by one job of the reading connection's thread"),
            Number("turns", 14, "those of the read, and few for the answers, which come together"),
            Number("tasks", 1, "the read of the segment, which all share"),
            Number("opens", 100, "each payload once"),
            Number("decodings", 100, "each value once"),
            Number("row hashes", 200, "each row's MAC once, and the digest of its payload"),
            Number("fingerprint hashes", 100, "one for each step, to compare"),
            Number("objects", 100, "one for each step"),
            Number("calls", 7_150, _CALLS, at_most=True),
        ),
    ),
    Case(
        "lone acknowledged append",
        "append",
        (
            Number("commits", 1, "nobody is waited for"),
            Number("syncs", 1, "of the -wal, for the commit"),
            Number("statements", 4, "BEGIN, UPDATE of the head, INSERT, COMMIT"),
            Number("largest batch", 4, "it is the only one"),
            Number("hops", 1, "one for the commit"),
            Number("turns", 3, "the writer begins, the answer; the caller goes on"),
            Number("seals", 1, "the payload"),
            Number("row hashes", 2, "the row's MAC, and the digest of its payload"),
            Number("anchor hashes", 1, "one for the commit"),
            Number("objects", 4, "one of the queue, and those of a batch"),
            Number("calls", 65, _CALLS, at_most=True),
        ),
    ),
)

_LEFT: Final = "what is made now and then, whatever the number; a thing for each step were 100"

KEPT: Final = tuple(
    Case(f"100 {kind} steps", kind, (Number("objects kept", 5, _LEFT, at_most=True),))
    for kind in ("guarded", "idempotent")
)
"""What is still there of steps that are done, while their workflow goes on."""

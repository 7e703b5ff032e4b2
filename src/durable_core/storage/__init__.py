"""What every backend has to do in the same way, done once: for the packages of the closed set.

Columns, tables and the statements that both dialects have alike; numbered migrations; the check of
a key that is stored with what is the first to need it; what a batch means to others, and how they
are told; owners' ids and locks, also in a forked child; the words in which a database refuses.
"""

"""What every backend has to do in the same way, done once: for the packages of the closed set.

Columns and tables by name, numbered migrations, the check of a key that is stored with what is the
first to need it, what a batch means to others, and what happens to a lock in a forked child.
"""

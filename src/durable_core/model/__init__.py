"""What a journal holds, as data: effects, entries, executions and their legal transitions."""

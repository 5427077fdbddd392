"""A server that nobody knows, tried once: does it start, what does it reach for, what does it write, which call works?

`container` runs it where it can harm nothing, `recorder` sees what it does on the network, `witness` (beside it, in the
container) talks with it and sees what it writes, `calls` says which calls are made, `findings` what follows from all of it.
"""

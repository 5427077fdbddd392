"""Multi-round-trip requests (2026-07-28, basic/patterns/mrtr) for a client that is asked by requests of the server."""


class Round:
    @staticmethod
    def begin(words, exchange, members):
        raise NotImplementedError

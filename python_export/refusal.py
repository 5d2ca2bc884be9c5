"""refusal.py -- the two ways a run ends early: the caller is wrong, or an input is.  Both are one sentence."""


class Refused(Exception):
    """An input that is not what it should be; the sentence names it, the expected and the found."""

    exit_code = 3


class Misuse(Refused):
    """A command line that cannot be carried out."""

    exit_code = 2


def shape_text(shape):
    return "[" + ", ".join(str(n) for n in shape) + "]"

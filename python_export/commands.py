"""commands.py -- what both commands do alike: one sentence instead of a traceback, and an output that may be written.

Exit codes: 0 written, 1 this machine cannot, 2 misuse, 3 an input was refused, 130 interrupted.
"""

import argparse
import os
import sys

from refusal import Misuse, Refused


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Misuse(f"{message}; see --help")


def positive(text):
    """A whole number from 1, for argparse."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 31):
        raise argparse.ArgumentTypeError(f"'{printable(text)}' is not a whole number from 1")
    return int(text)


def printable(text):
    """Names come from files: nothing of them may break a line or disturb a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def say(text):
    print(printable(text), file=sys.stderr, flush=True)


def check_output(output, inputs=()):
    """The folder must be there, and no input may be overwritten."""
    folder = os.path.dirname(os.path.abspath(output))
    if not os.path.isdir(folder):
        raise Misuse(f"{output}: there is no folder {folder}")
    if os.path.isdir(output):
        raise Misuse(f"{output}: is a folder; want a file name")
    for path in inputs:
        if os.path.exists(output) and os.path.samefile(path, output):
            raise Misuse(f"{output}: is one of the inputs")


def summary(output, vision, text, dtype, size):
    return (f"{printable(output)}: vision {vision.dim} x {vision.depth}, {vision.registers} registers; "
            f"text {text.dim} x {text.depth}, {text.vocabulary} tokens; {dtype}, {size} bytes")


def run(name, work):
    """Runs a command's work and returns its exit code."""
    try:
        work()
        return 0
    except Refused as problem:
        say(f"{name}: {problem}")
        return problem.exit_code
    except OSError as problem:
        say(f"{name}: {problem.filename}: {problem.strerror}" if problem.filename else f"{name}: {problem}")
        return 3
    except MemoryError:
        say(f"{name}: not enough memory")
        return 1
    except KeyboardInterrupt:
        say(f"{name}: interrupted; nothing was written")
        return 130

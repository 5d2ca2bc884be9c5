#!/usr/bin/env python3
"""Writes host/model/html_entities.inc: the HTML5 character references, sorted by name for bsearch.

    python3 python_export/make_html_entities.py > host/model/html_entities.inc

Beside Python's own table it holds the names that ftfy also accepts in capitals (&EACUTE;): those whose HTML5
name is all lower case and whose upper case form html.unescape would leave alone. They are marked `shouted`.
"""
import html
import html.entities
import platform


def shouted(html5):
    """ftfy's capitals: {"EACUTE;": "É", "SZLIG;": "SS", ...}."""
    found = {}
    for name, text in html5.items():
        reference = "&" + name.upper()
        if name.endswith(";") and name == name.lower() and html.unescape(reference) == reference:
            found[name.upper()] = text.upper()
    return found


def main():
    html5 = html.entities.html5
    rows = [(name, text, 0) for name, text in html5.items()]
    rows += [(name, text, 1) for name, text in shouted(html5).items()]
    print(f"/* {len(rows)} character references, written by python_export/make_html_entities.py"
          f" with Python {platform.python_version()}. */")
    print("/* clang-format off */")
    line = ""
    for name, text, capitals in sorted(rows):
        points = ", ".join(f"0x{ord(c):x}" for c in text)
        entry = f'{{"{name}", {{{points}}}, {capitals}}}, '
        if len(line) + len(entry) > 110:
            print(line.rstrip())
            line = ""
        line += entry
    print(line.rstrip())


if __name__ == "__main__":
    main()

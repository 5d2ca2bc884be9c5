"""bpe.py -- the text tower's vocabulary: byte pairs learned from the captions, in CLIP's form.

Learning and encoding see only what captions hold (lower-case English); the C tokenizer, which reads the same merges,
sees everything.
"""

import re
from collections import Counter

import merges

SPLIT = re.compile(r"[a-z]+|[0-9]|[^\sa-z0-9]+")
MERGES = 700  # at most; learning stops where no pair comes twice


def join(symbols, pair):
    """The symbols with every occurrence of the pair made one, from left to right."""
    out, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i:i + 2]) == pair:
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def learn(captions):
    """The merges, commonest pair first (of equal ones the first in the alphabet), as a list of pairs."""
    words = Counter(word for text in captions for word in SPLIT.findall(text))
    spelled = {word: [*word[:-1], word[-1] + merges.END] for word in words}
    learned = []
    while len(learned) < MERGES:
        pairs = Counter()
        for word, symbols in spelled.items():
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += words[word]
        if not pairs:
            break
        best, times = min(pairs.items(), key=lambda item: (-item[1], item[0]))
        if times < 2:
            break
        learned.append(best)
        spelled = {word: join(symbols, best) for word, symbols in spelled.items()}
    return learned


def write(path, learned):
    with open(path, "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in learned))


class Tokenizer:
    def __init__(self, learned):
        letters = merges.byte_alphabet()
        symbols = [*letters, *(letter + merges.END for letter in letters), *(a + b for a, b in learned)]
        self.ids = {symbol: i for i, symbol in enumerate(symbols)}
        self.ranks = {pair: i for i, pair in enumerate(learned)}
        self.start, self.end = len(symbols), len(symbols) + 1
        self.size = len(symbols) + 2
        self.known = {}

    def word(self, word):
        if word not in self.known:
            symbols = [*word[:-1], word[-1] + merges.END]
            while len(symbols) > 1:
                best = min(zip(symbols, symbols[1:]), key=lambda pair: self.ranks.get(pair, len(self.ranks)))
                if best not in self.ranks:
                    break
                symbols = join(symbols, best)
            self.known[word] = [self.ids[symbol] for symbol in symbols]
        return self.known[word]

    def encode(self, text):
        return [self.start, *(i for word in SPLIT.findall(text) for i in self.word(word)), self.end]

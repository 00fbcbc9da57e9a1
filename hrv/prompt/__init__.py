"""From the text field to columns: what was typed, the tokens that it became, its words, and how they are found."""

from .clip_tokens import END_ID, START_ID, parse_chunks
from .fillers import is_all_filler, is_filler
from .names import key, split_names
from .prompt import UNITS, Prompt, concatenate
from .tokens import EMBEDDING, END, PAD, START, TEXT, Token, Word, WordNotFound

__all__ = [
    "EMBEDDING",
    "END",
    "END_ID",
    "PAD",
    "START",
    "START_ID",
    "TEXT",
    "UNITS",
    "Prompt",
    "Token",
    "Word",
    "WordNotFound",
    "concatenate",
    "is_all_filler",
    "is_filler",
    "key",
    "parse_chunks",
    "split_names",
]

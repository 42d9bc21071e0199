"""Turns what people type into what can be compared. Every function is total: any text goes in, None means "cannot say".

Nothing is guessed: what is not certainly known stays as it was. Lookups that repeat are cached in bounded caches, and
texts longer than any real value are not looked up at all, so absurd input is neither slow nor remembered.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache

import tldextract

from routing.core.words import LEGAL_FORMS, SHARED_HOSTS

# RFC 5321: 64 octets, the sign, 255 octets.
EMAIL_LIMIT = 320
# Longer than any company or place name; Salesforce allows 255 for a company.
NAME_LIMIT = 300

_TIDY_EMAIL = re.compile(r"[a-z0-9._%+\-]{1,64}@[a-z0-9\-]{1,63}(?:\.[a-z0-9\-]{1,63}){0,6}\.[a-z]{2,24}")
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\\\"]{1,64}@([^\s@<>()\[\],;:\\\"/]{1,255})")
# Control characters, and marks that only steer how text is laid out. The joiners U+200C and U+200D carry meaning.
_INVISIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_SPACES = re.compile(r"\s+")
_HOST = re.compile(r"^(?:[a-z][a-z0-9+.\-]*:/{1,3}|/{2})?(?:[^/@?#\s]*@)?([^/?#:\s\\]+)")
_IPV4 = re.compile(r"[0-9.]+")
_LABEL = r"[a-z0-9](?:[a-z0-9_\-]{0,61}[a-z0-9])?"
_ASCII_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NOT_WORD = re.compile(r"[^\w]+")


def clean_text(text: str) -> str:
    """Without control and layout characters, with single spaces, without spaces at the ends."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    return _SPACES.sub(" ", _INVISIBLE.sub("", text)).strip()


def email(text: str) -> str | None:
    """The address in lower case, bare of ``mailto:``, brackets and stray spaces. None when it is not an e-mail address."""
    return _email(text) if len(text) <= EMAIL_LIMIT * 2 else None


@lru_cache(maxsize=4_096)  # small: it serves the several looks at one record, not the next record
def _email(text: str) -> str | None:
    if _TIDY_EMAIL.fullmatch(text):
        return text if ".." not in text and not text.startswith(".") and ".@" not in text else None
    text = clean_text(unicodedata.normalize("NFKC", text)).lower()
    if text.endswith(">") and "<" in text:
        text = text[text.rindex("<") + 1 : -1].strip()
    text = text.strip("<>\"'.,; ").removeprefix("mailto:")
    text = text.partition("?")[0].strip().replace(" @", "@").replace("@ ", "@")
    found = _EMAIL.fullmatch(text)
    if found is None or len(text) > EMAIL_LIMIT or ".." in text or text[0] == "." or ".@" in text:
        return None
    host = _ascii_host(found.group(1))
    if host is None or "." not in host or _IPV4.fullmatch(host):
        return None
    return text


@lru_cache(maxsize=4_096)  # as above
def email_domain(address: str) -> str | None:
    """The registrable domain of an address as ``email`` returns it."""
    return registrable(address[address.rindex("@") + 1 :]) if "@" in address else None


def website(text: str) -> str | None:
    """The bare registrable domain of a web address: ``http://www.acme.co.uk/contact`` is ``acme.co.uk``."""
    if len(text) > 2048:
        return None
    found = _HOST.match(clean_text(text).lower().strip("<>\"'()[],; "))
    return registrable(found.group(1)) if found else None


def company_website(text: str) -> str | None:
    """As ``website``, but None for a page at a shared host (``facebook.com/acme``), which says nothing of the company."""
    return _company_website(text) if len(text) <= 2048 else None


@lru_cache(maxsize=65_536)
def _company_website(text: str) -> str | None:
    domain = website(text)
    if domain is None or domain not in SHARED_HOSTS:
        return domain
    host_and_path = text.lower().split("://")[-1].removeprefix("www.").rstrip("/ ")
    return domain if host_and_path.strip() == domain else None


@lru_cache(maxsize=32_768)
def registrable(host: str) -> str | None:
    """The domain somebody registered: ``mail.acme.co.uk`` is ``acme.co.uk``. ASCII (punycode) and lower case.

    Below a suffix that the public suffix list does not know, the last two labels. None for addresses and single words.
    """
    ascii_host = _ascii_host(host)
    if ascii_host is None or "." not in ascii_host or _IPV4.fullmatch(ascii_host):
        return None
    labels = ascii_host.split(".")
    suffix = _suffix_length(labels)
    return ".".join(labels[-suffix - 1 :]) if suffix < len(labels) else None


def _suffix_length(labels: list[str]) -> int:
    """How many labels at the end are a public suffix. The list's own algorithm: the longest rule wins, exceptions first."""
    suffixes, deep = _suffixes()
    if labels[-1] not in deep:
        return 1
    for start in range(len(labels)):
        name = ".".join(labels[start:])
        if name in suffixes:
            return len(labels) - start
        rest = ".".join(labels[start + 1 :])
        if rest and f"*.{rest}" in suffixes:
            return len(labels) - start - (f"!{name}" in suffixes)
    return 1


@cache
def _suffixes() -> tuple[frozenset[str], frozenset[str]]:
    """The public suffix list as tldextract ships it, and the last labels below which it has more rules (uk, but not com).

    No network, no cache directory; co.uk is in the list, github.io is not.
    """
    shipped = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=False).tlds
    rules = frozenset(rule if rule.isascii() else rule.encode("idna").decode("ascii") for rule in shipped)
    return rules, frozenset(rule.rpartition(".")[2] for rule in rules if "." in rule)


def _ascii_host(host: str) -> str | None:
    host = host.strip(".").lower()
    if not host or len(host) > 253:
        return None
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    return host if _ASCII_HOST.fullmatch(host) else None


def company_key(name: str) -> str:
    """What is compared of a company name: folded, without punctuation and legal form. "" when nothing is left."""
    return _company_key(name) if len(name) <= NAME_LIMIT else ""


@lru_cache(maxsize=16_384)
def _company_key(name: str) -> str:
    words = _NOT_WORD.sub(" ", fold(name).replace("&", " and ").replace(".", "").replace("'", "")).split()
    if words and words[0] == "the":
        words = words[1:]
    kept = list(words)
    while len(kept) > 1 and kept[-1] in LEGAL_FORMS:
        kept.pop()
    return " ".join(kept)


def fold(text: str) -> str:
    """For comparing: without case, accents and width variants."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()

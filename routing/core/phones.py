"""Telephone numbers to E.164, by the country a record is in. What is not a valid number stays as it was written."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

# E.164 allows 15 digits; with prefixes, brackets and an extension nobody needs more than this.
PHONE_LIMIT = 60

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def phone(text: str, country_code: str) -> str | None:
    """The number as E.164 (``+4930901820``), an extension kept after it (``+14155550132 x12``); None when it is not valid.

    ``country_code`` (alpha-2, "" when unknown) is needed for a number written without its country prefix.
    """
    if not text or len(text) > PHONE_LIMIT:
        return None
    return _phone(text, country_code)


@lru_cache(maxsize=16_384)
def _phone(text: str, country_code: str) -> str | None:
    text = unicodedata.normalize("NFKC", text).strip() if not text.isascii() else text.strip()
    number = None
    if country_code or text.startswith(("+", "(+", "tel:+")):
        number = _parse(text, country_code)
    if number is None and text.startswith("00"):
        # The prefix most of the world dials abroad with. No national number begins with it.
        number = _parse("+" + text[2:], "")
    if number is None:
        return None
    written = str(phonenumbers.format_number(number, PhoneNumberFormat.E164))
    return f"{written} x{number.extension}" if number.extension else written


def _parse(text: str, country_code: str) -> phonenumbers.PhoneNumber | None:
    try:
        number = phonenumbers.parse(text, country_code or None)
    except NumberParseException:
        return None
    return number if phonenumbers.is_valid_number(number) else None

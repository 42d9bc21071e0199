"""Telephone numbers to E.164, by the country a record is in. What is not a valid number stays as it was written."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache

import phonenumbers
from msgspec import Struct
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumberFormat

# E.164 allows 15 digits; with prefixes, brackets and an extension nobody needs more than this.
PHONE_LIMIT = 60

_PLAIN = re.compile(r"\+?[0-9(][0-9 ().\-/]{1,30}")
_EXTENSION = re.compile(r"(.{5,}?) *(?:ext\.?|x) ?([0-9]{1,6})")
_NO_DIGITS = str.maketrans("", "", "+( ).-/")  # what ``_PLAIN`` lets in beside them
_KINDS = (
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager", "uan"),
    "voicemail",
)


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
    if _PLAIN.fullmatch(text):
        quick = _quick(text, country_code)
        if quick is not None:
            return quick or None
    elif not any(c.isdigit() for c in text):
        return None
    elif (parts := _EXTENSION.fullmatch(text)) and _PLAIN.fullmatch(parts[1]):
        quick = _quick(parts[1], country_code)
        if quick:
            return f"{quick} x{parts[2]}"
    return thorough(text, country_code)


def thorough(text: str, country_code: str) -> str | None:
    """As ``phone``, by phonenumbers alone. Some 100 µs; ``_quick`` answers the plain cases in a few, and only those."""
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


class _Plan(Struct, frozen=True):
    """A region's numbering plan, of phonenumbers' metadata: what a plain number needs."""

    calling_code: str
    abroad: re.Pattern[str] | None  # what one dials before an international number
    trunk: re.Pattern[str] | None  # what one dials before a national number
    rewrites: bool  # whether more is done with that than to leave it out
    valid: re.Pattern[str]  # a national number that exists, without the trunk prefix, in any region of the calling code

    def e164(self, national: str) -> str | None:
        """As ``_quick``, for the digits behind the calling code."""
        valid = self.valid.fullmatch(national) is not None
        dialled = self.trunk.match(national) if self.trunk is not None else None
        if dialled is None:
            return f"+{self.calling_code}{national}" if valid else ""
        if valid or self.rewrites:
            return None
        national = national[dialled.end() :]
        return f"+{self.calling_code}{national}" if self.valid.fullmatch(national) else ""


def _quick(text: str, country_code: str) -> str | None:
    """E.164 where the number leaves no doubt how phonenumbers would read it, "" where it is surely not valid; None says nothing."""
    digits = text.translate(_NO_DIGITS)
    if text[0] == "+":
        if digits[:1] in ("", "0"):
            return None
        for length in (1, 2, 3):
            regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:length]))
            if regions is not None:
                plan = _plan(regions[0])
                return plan.e164(digits[length:]) if plan is not None else None
        return ""
    plan = _plan(country_code) if country_code else None
    if plan is None or (plan.abroad is not None and plan.abroad.match(digits)) or digits.startswith("00"):
        return None
    if digits.startswith(plan.calling_code):
        # Perhaps an international number without its sign. Only where that is dialled at home as well does it not matter.
        rest = digits[len(plan.calling_code) :]
        if plan.calling_code != "1" or plan.rewrites or plan.trunk is None or plan.trunk.match(rest):
            return None
    return plan.e164(digits)


@cache
def _plan(region: str) -> _Plan | None:
    own = PhoneMetadata.metadata_for_region(region, None)
    if own is None or own.country_code is None:
        return None
    regions: list[str] = []
    for name in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[own.country_code]:
        metadata = PhoneMetadata.metadata_for_region(name, None)
        if metadata is None or metadata.general_desc is None:
            return None
        described = [getattr(metadata, kind) for kind in _KINDS]
        kinds = "|".join(one.national_number_pattern for one in described if one and one.national_number_pattern)
        if kinds:
            regions.append(f"(?=(?:{metadata.general_desc.national_number_pattern})$)(?:{kinds})")
    trunk = own.national_prefix_for_parsing
    return _Plan(
        str(own.country_code),
        re.compile(own.international_prefix) if own.international_prefix else None,
        re.compile(trunk) if trunk else None,
        own.national_prefix_transform_rule is not None,
        re.compile("|".join(regions) or "(?!)"),
    )

"""Domains of companies: which company a web or e-mail address points to, and which point to nobody.

Free-mail and disposable domains say nothing of a company. Where a domain is in both kinds of list, it counts as disposable; a policy's
own lists go before both (``routing.core.keys``). The lists come with pinned packages whose versions every decision records.
"""

from __future__ import annotations

from functools import lru_cache

from disposable_email_domains import blocklist

from routing.core import normalise
from routing.core.words import FREE_MAIL, SHARED_HOSTS

DISPOSABLE_MAIL: frozenset[str] = frozenset(blocklist)

# A brand of fewer letters is by chance somebody else's.
SHORTEST_BRAND = 4


def company_domain(domain: str | None) -> str:
    """The domain when it can be a company's, "" for free mail, disposable mail and hosts where anybody has a page."""
    if not domain or domain in FREE_MAIL or domain in DISPOSABLE_MAIL or domain in SHARED_HOSTS:
        return ""
    return domain


@lru_cache(maxsize=16_384)
def brand(domain: str) -> str:
    """What is left of a registrable domain without its suffix and hyphens: ``acme-tools.co.uk`` is ``acmetools``. "" when too short."""
    label = domain.partition(".")[0].replace("-", "")
    return label if len(label) >= SHORTEST_BRAND and not label.startswith("xn") else ""


def website_domain(text: object) -> str:
    """The company domain of a website field, "" when there is none."""
    return company_domain(normalise.company_website(text)) if isinstance(text, str) and text else ""

"""The kinds of evidence: what speaks for a pair never weighs below 0, and the other way round (``Weights.of`` sees to it)."""

from __future__ import annotations

FOR = frozenset(
    [
        "name_near",
        "name_said",
        "name_same",
        "name_shared",
        "name_share",
        "name_acronym",
        "legal_same",
        "mail_domain",
        "site_domain",
        "brand_domain",
        "contact_domain",
        "parent_domain",
        "domain_like_name",
        "domain_as_account",
        "domain_and_name",
        "known_contact",
        "country_same",
        "state_same",
        "city_same",
        "postal_code_same",
        "phone_same",
        "phone_near",
        "phone_area",
    ]
)
AGAINST = frozenset(
    [
        "name_slips",
        "name_short_slip",
        "name_known_slip",
        "name_only_lead",
        "name_only_account",
        "name_apart",
        "name_first",
        "name_reordered",
        "name_numbers",
        "name_number_missing",
        "name_filler",
        "name_one_word",
        "name_none",
        "rivals",
        "legal_other",
        "legal_missing",
        "legal_added",
        "legal_abroad",
        "mail_domain_other",
        "site_domain_other",
        "domain_as_lead",
        "country_other",
        "state_other",
        "city_other",
        "postal_code_other",
        "phone_other",
        "phone_abroad",
    ]
)
KINDS = tuple(sorted(FOR | AGAINST))

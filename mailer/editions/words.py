"""The words of a text, for comparing lines with stories: any language, function words left out.

No stemming and no dictionary: two words are the same when they are spelled the same, whatever their
case.
"""

import unicodedata
from collections.abc import Iterator

import regex

# Scripts that write no space between words, or join endings to them: compared by pairs of characters.
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_UNSPACED = regex.compile(f"[{UNSPACED}ー]")
_RUN = regex.compile(
    rf"(?P<unspaced>[{UNSPACED}ー]+)|(?P<word>[[\p{{L}}\p{{M}}\p{{N}}]--[{UNSPACED}ー]]+)", regex.VERSION1
)

# Articles, pronouns, prepositions, conjunctions, auxiliaries of the languages newsletters mostly come
# in. What a list lacks is caught by length here, and by frequency where lines are compared.
_FUNCTION_WORDS = {
    "en": """
        a about above across after again against all almost along already also although always
        am among an and another any are around as at away back be became because become been
        before being below between both but by came can cannot could did do does doing done down
        during each either else enough even ever every few first for from further get gets got
        had has have having he her here hers him his how however if in instead into is it its
        itself just last least less like made make makes many may me might mine more most much
        must my near neither never next no nor not now of off often on once one only onto or
        other others our ours out over own per quite rather same second see seen several shall
        she should since so some soon still such than that the their theirs them then there
        therefore these they this those though three through thus to too toward towards two
        under until up upon us very via was we well were what when where whether which while who
        whom whose why will with within without would yet you your yours""",
    "de": """
        aber alle allem allen aller als also am an ander andere anderen auch auf aus bei beim
        bis bisher da dabei dadurch dafür damit danach dann das dass dem den denn der deren des
        dessen die dies diese diesem diesen dieser dieses doch dort durch ein eine einem einen
        einer eines er erst es etwa für gegen haben hat hatte hier ihm ihn ihnen ihr ihre im
        immer in ist jede jeder jetzt kann kein keine können mehr mit muss nach nicht noch nun
        nur ob oder ohne schon sehr sein seine seit sich sie sind so sollen sowie über um und
        uns unter vom von vor war waren was weil wenn werden wie wieder will wir wird wo wurde
        wurden zu zum zur zwischen""",
    "fr": """
        ainsi alors après au aucun aussi autre aux avant avec avoir car ce cela ces cet cette
        ceux chaque chez ci comme contre dans de depuis des deux dont du elle elles en encore
        entre est et été être eu fait il ils je la le les leur leurs lors mais même moins ne ni
        non nos notre nous on ont ou où par pas pendant peu peut plus pour pourrait puis qu
        quand que quel quelle qui sa sans se selon sera ses si son sont sous sur très trois tous
        tout toute toutes un une vers vos votre vous""",
    "es": """
        al algo algunos ante antes aquí así aún aunque bajo cada casi como con contra cual
        cuando de del desde donde dos durante el ella ellos en entre era eran es esa ese eso
        esta está están estas este esto estos fue fueron ha hacia han hasta hay la las le les lo
        los más mientras mismo muy ni no nos o otra otro otros para pero poco por porque pues
        que quien se según ser si sido sin sobre son su sus también tan tanto tiene todo todos
        tras tres un una uno unos y ya""",
    "it": """
        ad agli ai al alla alle allo altri altro anche ancora aveva c che chi ci come con contro
        cui da dai dal dalla dalle degli dei del della delle dello di dopo due e ed era essere
        fra gli già ha hanno i il in io la le lo loro ma mentre molto ne negli nei nel nella
        nelle no noi non nostro o ogni oltre per perché più poi può qual quale quando quella
        quelle quelli quello questa queste questi questo se senza si sia solo sono sotto stata
        stati stato su sua sui sul sulla sulle suo tra tre tutti tutto un una uno""",
    "pt": """
        a ainda ante ao aos apenas após as às assim até cada com como contra da das de dela dele
        depois desde do dois dos e é ela elas ele eles em entre era essa esse esta está estão
        este eu foi foram há isso já mais mas mesmo muito na não nas nem no nos num numa o onde
        os ou outra outro para pela pelas pelo pelos pode por porque qual quando que quem se sem
        ser será seu sob sobre sua são também tem têm três tudo um uma""",
    "nl": """
        aan al alle als ander andere bij bijna dan dat de deze die dit doch door dus een en er
        geen had heb hebben heeft het hier hij hoe hun ik in is ja je kan kon kunnen maar mag
        meer men met mijn moet na naar niet nog nu of om omdat onder ons ook op over reeds sinds
        te tegen tot tussen uit van veel voor want waren was wat we wel werd werden wie wij
        wordt worden ze zelf zich zij zijn zo zonder zou""",
}
FUNCTION_WORDS = frozenset(word for words in _FUNCTION_WORDS.values() for word in words.split())

# A word of two letters means something when it is written in capitals (MM, IG) or holds a digit.
SHORT_WORD_CHARACTERS = 2


def telling_words(text: str) -> frozenset[str]:
    """The distinct words of a text that can tell what it is about, in one case.

    Function words, single characters, numbers and most words of two letters are left out; in scripts
    without spaces a "word" is each pair of neighbouring characters.
    """
    return frozenset(_telling(unicodedata.normalize("NFKC", text)))


def is_function_word(word: str) -> bool:
    """Whether a word only holds others together; ALL and WHO in capitals are names."""
    return word.casefold() in FUNCTION_WORDS and not (len(word) > 1 and word.isupper())


def has_unspaced(text: str) -> bool:
    """Whether a text has characters of a script that may be cut between any two."""
    return _UNSPACED.search(text) is not None


def count_words(text: str) -> int:
    """Words as a reader counts them; two characters of an unspaced script are one."""
    return sum(-(-len(run.group()) // 2) if run.lastgroup == "unspaced" else 1 for run in _RUN.finditer(text))


def _telling(text: str) -> Iterator[str]:
    for run in _RUN.finditer(text):
        word = run.group()
        if run.lastgroup == "unspaced":
            yield from (word[start : start + 2] for start in range(len(word) - 1))
        elif not (_is_too_short(word) or word.isnumeric() or is_function_word(word)):
            yield word.casefold()


def _is_too_short(word: str) -> bool:
    if len(word) > SHORT_WORD_CHARACTERS:
        return False
    return len(word) == 1 or not (word.isupper() or any(character.isdigit() for character in word))

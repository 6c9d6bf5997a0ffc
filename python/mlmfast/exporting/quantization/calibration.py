"""The texts on which a lower precision is measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlmfast.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_texts(given: str | Path | Sequence[str] | None) -> list[str] | None:
    """Read a text file, a text on each line that is not blank, or take a list of texts.

    Raises:
        NotFoundError: there is no such file.
        InputError: it is no UTF-8 text, or holds no text.
    """
    if given is None:
        return None
    if not isinstance(given, (str, Path)):
        texts = [*given]
        if not texts or not all(isinstance(text, str) for text in texts):
            raise InputError("The calibration texts must be strings, at least one.")
        return texts
    path = Path(given)
    if not path.is_file():
        raise NotFoundError(f"There is no file {path} to take calibration texts from.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not valid UTF-8 (byte {error.start}).") from error
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise InputError(f"{path} holds no text: calibration takes one text a line.")
    return texts


SENTENCES = (
    "The river rises in the mountains and reaches the sea after four hundred miles.",
    "She opened the letter slowly, read it twice, and put it back in the drawer.",
    "Water boils at a lower temperature on a high mountain than at the coast.",
    "The committee will meet on Thursday to decide how the money should be spent.",
    "If the train is late again, we shall miss the last ferry to the island.",
    "Most of the houses in this street were built before the war.",
    "The engine failed because nobody had checked the oil for several years.",
    "A cell divides into two daughter cells, each with a full set of chromosomes.",
    "He learned to play the violin from his grandmother when he was six.",
    "The price of wheat fell sharply after a second good harvest.",
    "Light from the nearest star takes more than four years to reach us.",
    "Please send the signed contract to our office before the end of the month.",
    "The old bridge was closed to traffic after the flood had damaged its pillars.",
    "Children who read every day usually write better at the end of the year.",
    "The function returns an empty list when the file has no lines.",
    "They walked along the beach until it was too dark to see the path.",
    "The court found that the company had not warned its customers in time.",
    "Salt was once so valuable that soldiers were paid with it.",
    "The museum shows paintings, coins and letters from three centuries.",
    "It rained all night, and in the morning the garden was full of birds.",
    "Our team won the match by two goals, although one player was sent off.",
    "The doctor told him to rest, drink plenty of water and come back on Monday.",
    "Bees tell each other by a dance where they have found flowers.",
    "The new law makes it easier for small firms to hire young people.",
    "Nobody knew why the lights in the tower had been left on.",
    "The average temperature of the ocean has risen during the last fifty years.",
    "Her first novel was rejected by nine publishers before it became a success.",
    "The ship carried coal, timber and machines from one port to the other.",
    "An error in the program made every third invoice too high.",
    "The king gave half of the land to his brother and kept the rest.",
    "In spring the farmers burn the dry grass to make room for new plants.",
    "This medicine should be taken after meals and not together with alcohol.",
    "Le chat dort sur la chaise pendant que les enfants jouent dans le jardin.",
    "La biblioteca cierra a las ocho, pero los sábados abre más temprano.",
    "Der Zug nach Hamburg fährt heute von einem anderen Gleis ab.",
    "Il professore ha spiegato la lezione una seconda volta con molta pazienza.",
    "Река замёрзла рано, и дети катаются на коньках до самого вечера.",
    "今日は雨が降っているので、家で本を読むことにしました。",
    "这座城市的冬天很冷，但是夏天非常热。",  # noqa: RUF001
    "المدرسة قريبة من البيت، ولذلك يذهب الأطفال إليها سيرا على الأقدام.",
)

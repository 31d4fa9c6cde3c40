"""An open site, as every part of `Mailer` sees it."""

from mailer.config import Settings
from mailer.database import Database
from mailer.service.rooms import Rooms


class Desk:
    """The rooms of a site, and the two that every method asks for."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms

    @property
    def settings(self) -> Settings:
        return self.rooms.settings

    @property
    def database(self) -> Database:
        return self.rooms.database

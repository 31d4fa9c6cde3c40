"""The one composition root: opens a site and answers what people type, click and schedule."""

from mailer.service.mailer import Mailer
from mailer.service.site import sandbox_of

__all__ = ["Mailer", "sandbox_of"]

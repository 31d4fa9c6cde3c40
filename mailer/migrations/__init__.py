"""Migrations; shipped inside the package, run by `mailer upgrade`."""

"""One issue's whole way, played on one machine: `mailer demo`."""

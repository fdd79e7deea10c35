"""The offline build of the free body from the MakeHuman data; nothing else imports it."""
